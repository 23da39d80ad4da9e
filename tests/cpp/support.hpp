/* What the C++ tests share. */
#ifndef SUPPORT_HPP
#define SUPPORT_HPP

#include <omniid.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                        \
        }                                                                        \
    } while (0)

constexpr std::uint32_t picture_width = 80, picture_height = 60;

/// A drawn picture of 80 x 60 RGB pixels, another one for each number.
inline std::vector<std::uint8_t> picture(unsigned number) {
    std::vector<std::uint8_t> pixels(std::size_t{picture_width} * picture_height * 3);
    for (std::size_t i = 0; i < pixels.size(); i++)
        pixels[i] = static_cast<std::uint8_t>(i * (number + 3) / 50 + i % 3 * 40);
    return pixels;
}

/// The tests of the build without exceptions, in a file of its own; called from the one with them.
void test_results(const char *model);

#endif
