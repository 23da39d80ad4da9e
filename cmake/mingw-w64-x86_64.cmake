# Toolchain file: Windows programs (x86_64) from Linux, with MinGW-w64 as Debian and Ubuntu install it
# (gcc-mingw-w64-x86-64, g++-mingw-w64-x86-64).
#
#   cmake -S . -B build -DCMAKE_TOOLCHAIN_FILE=cmake/mingw-w64-x86_64.cmake
#
# The C++ compiler is the one with POSIX threads: that with Windows' own has no std::thread before GCC 13.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)

set(tools x86_64-w64-mingw32)
find_program(CMAKE_C_COMPILER NAMES ${tools}-gcc-posix ${tools}-gcc REQUIRED)
find_program(CMAKE_CXX_COMPILER NAMES ${tools}-g++-posix ${tools}-g++ REQUIRED)
find_program(CMAKE_RC_COMPILER NAMES ${tools}-windres)
find_program(CMAKE_OBJCOPY NAMES ${tools}-objcopy)
find_program(CMAKE_AR NAMES ${tools}-ar)

# Programs of the machine that builds, libraries and headers of Windows. Packages (find_package) that are named by
# CMAKE_PREFIX_PATH may lie anywhere.
set(CMAKE_FIND_ROOT_PATH /usr/${tools})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)

# Programs bring the compiler's runtime with them instead of needing its DLLs.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -static)
