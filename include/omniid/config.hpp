/*
 * What the other parts share: whether exceptions are used, and whether std::span exists.
 *
 * The first changes what functions do, the second their types. Files that are compiled with different choices may be
 * linked into one program: each choice has an inline namespace of its own, so that the linker never takes a function of
 * one for that of another.
 */
#ifndef OMNIID_CONFIG_HPP
#define OMNIID_CONFIG_HPP

#include "../omniid.h"

#if __cplusplus < 201703L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#error "omniid.hpp needs C++17 or newer"
#endif

#if !defined(OMNIID_NO_EXCEPTIONS) && !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#define OMNIID_NO_EXCEPTIONS
#endif

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif

#if defined(OMNIID_NO_EXCEPTIONS)
#if defined(__cpp_lib_span)
#define OMNIID_INLINE_NAMESPACE abi1_aborts_std_span
#else
#define OMNIID_INLINE_NAMESPACE abi1_aborts_own_span
#endif
#elif defined(__cpp_lib_span)
#define OMNIID_INLINE_NAMESPACE abi1_throws_std_span
#else
#define OMNIID_INLINE_NAMESPACE abi1_throws_own_span
#endif

static_assert(OMNIID_ABI_MAJOR == 1, "the inline namespaces carry the ABI's major version");

#endif
