/*
 * A program whose import of the DLL is delayed: it starts without it, loads it from a folder of its choice and only
 * then calls it, as the Unreal plugin does.
 *
 *     delay C:\other\folder\omniid.dll
 */
#include <omniid.h>
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t **arguments) {
    if (count != 2) return 2;
    if (GetModuleHandleW(L"omniid.dll") != NULL) {
        fprintf(stderr, "the DLL was loaded before the first call\n");
        return 1;
    }
    if (LoadLibraryExW(arguments[1], NULL, LOAD_WITH_ALTERED_SEARCH_PATH) == NULL) {
        fprintf(stderr, "error %lu\n", GetLastError());
        return 1;
    }
    unsigned major = omniid_abi_version() >> 16;
    printf("ABI %u\n", major);
    return major == OMNIID_ABI_MAJOR ? 0 : 1;
}
