/*
 * The one function of bcryptprimitives.dll that Rust's standard library calls. Wine before release 9 has no such DLL;
 * Windows has had it since Windows 8.
 */
#include <windows.h>
#include <ntsecapi.h>

BOOL WINAPI ProcessPrng(BYTE *bytes, SIZE_T count) {
    while (count > 0) {
        ULONG part = count > 1u << 30 ? 1u << 30 : (ULONG)count;
        if (!RtlGenRandom(bytes, part)) return FALSE;
        bytes += part;
        count -= part;
    }
    return TRUE;
}
