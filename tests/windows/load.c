/*
 * Loads the DLL as ctypes of Python 3.8 and later does: by its full path, its own dependencies from its folder and the
 * system's. Prints the ABI's version.
 *
 *     load C:\path\omniid.dll
 */
#include <omniid.h>
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t **arguments) {
    if (count != 2) return 2;
    HMODULE library = LoadLibraryExW(
        arguments[1], NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS | LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR);
    if (library == NULL) {
        fprintf(stderr, "error %lu\n", GetLastError());
        return 1;
    }
    uint32_t (*version)(void) = (uint32_t(*)(void))(void *)GetProcAddress(library, "omniid_abi_version");
    if (version == NULL || version() >> 16 != OMNIID_ABI_MAJOR) return 1;
    printf("ABI %u.%u\n", (unsigned)(version() >> 16), (unsigned)(version() & 0xFFFF));
    return 0;
}
