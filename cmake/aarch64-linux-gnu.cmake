# Toolchain file: programs for 64-bit ARM Linux from another Linux, with GCC as Debian and Ubuntu install it
# (gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu). cargo's compiler needs its standard library, too
# (rustup target add aarch64-unknown-linux-gnu).
#
#   cmake -S . -B build -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(tools aarch64-linux-gnu)
find_program(CMAKE_C_COMPILER NAMES ${tools}-gcc REQUIRED)
find_program(CMAKE_CXX_COMPILER NAMES ${tools}-g++)
find_program(CMAKE_OBJCOPY NAMES ${tools}-objcopy)
find_program(CMAKE_LINKER NAMES ${tools}-ld)
find_program(CMAKE_AR NAMES ${tools}-ar)

# Programs of the machine that builds, libraries and headers of ARM. Packages (find_package) that are named by
# CMAKE_PREFIX_PATH may lie anywhere.
set(CMAKE_FIND_ROOT_PATH /usr/${tools})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
