# The Rust target that CMake's toolchain asks for:
#
#   cmake -P tests/arm/triples.cmake
cmake_minimum_required(VERSION 3.20)
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/OmniIDCargo.cmake)

function(expect triple)
  cmake_parse_arguments(PARSE_ARGV 1 given "ANDROID" "SYSTEM;PROCESSOR;SYSROOT;ARCHITECTURES;COMPILER" "")
  set(CMAKE_CROSSCOMPILING ON)
  set(CMAKE_SYSTEM_NAME "${given_SYSTEM}")
  set(CMAKE_SYSTEM_PROCESSOR "${given_PROCESSOR}")
  set(CMAKE_OSX_SYSROOT "${given_SYSROOT}")
  set(CMAKE_OSX_ARCHITECTURES "${given_ARCHITECTURES}")
  set(CMAKE_C_COMPILER "${given_COMPILER}")
  set(ANDROID "${given_ANDROID}")
  omniid_cargo_triple(found)
  if(NOT found STREQUAL triple)
    message(FATAL_ERROR "${ARGN}: ${found}, expected ${triple}")
  endif()
  message(STATUS "${triple}")
endfunction()

expect(aarch64-unknown-linux-gnu SYSTEM Linux PROCESSOR aarch64)
expect(aarch64-unknown-linux-gnu SYSTEM Linux PROCESSOR arm64 COMPILER aarch64-linux-gnu-gcc)
expect(aarch64-unknown-linux-musl SYSTEM Linux PROCESSOR aarch64 COMPILER aarch64-linux-musl-gcc)
# The NDK's toolchain file sets these for arm64-v8a and x86_64.
expect(aarch64-linux-android SYSTEM Android PROCESSOR aarch64 ANDROID)
expect(x86_64-linux-android SYSTEM Android PROCESSOR x86_64 ANDROID)
expect(aarch64-apple-ios SYSTEM iOS SYSROOT iphoneos)
expect(aarch64-apple-ios-sim SYSTEM iOS SYSROOT iphonesimulator)
expect(aarch64-apple-darwin SYSTEM Darwin ARCHITECTURES arm64)
expect(aarch64-pc-windows-gnu SYSTEM Windows PROCESSOR ARM64)

# 32 bits are refused.
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/omniid-armv7.cmake
  "include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/OmniIDCargo.cmake)\nset(CMAKE_CROSSCOMPILING ON)\n"
  "set(CMAKE_SYSTEM_NAME Android)\nset(ANDROID ON)\nset(CMAKE_SYSTEM_PROCESSOR armv7-a)\n"
  "omniid_cargo_triple(found)\n")
execute_process(COMMAND ${CMAKE_COMMAND} -P ${CMAKE_CURRENT_BINARY_DIR}/omniid-armv7.cmake RESULT_VARIABLE result
  ERROR_VARIABLE message)
file(REMOVE ${CMAKE_CURRENT_BINARY_DIR}/omniid-armv7.cmake)
string(REGEX REPLACE "[ \n]+" " " message "${message}")
if(result EQUAL 0 OR NOT message MATCHES "armv7-a has 32")
  message(FATAL_ERROR "armv7-a was not refused: ${result} ${message}")
endif()
