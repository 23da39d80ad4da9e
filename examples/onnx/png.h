/* Writes RGB pictures as PNG, without compression. */
#ifndef PNG_H
#define PNG_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t png_checksum(uint32_t sum, const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
    }
    return sum;
}

static void png_number(unsigned char *place, uint32_t number) {
    for (int i = 0; i < 4; i++) place[i] = (unsigned char)(number >> (24 - 8 * i));
}

static void png_chunk(FILE *file, const char *kind, const unsigned char *bytes, size_t count) {
    unsigned char head[8], tail[4];
    png_number(head, (uint32_t)count);
    memcpy(head + 4, kind, 4);
    png_number(tail, ~png_checksum(png_checksum(0xFFFFFFFFu, head + 4, 4), bytes, count));
    fwrite(head, 1, sizeof head, file);
    fwrite(bytes, 1, count, file);
    fwrite(tail, 1, sizeof tail, file);
}

/* `height` rows of `width` pixels of 3 bytes, at most 65534 bytes a row. Gives 0, or -1 when it cannot be written. */
static int write_png(const char *path, const unsigned char *pixels, uint32_t width, uint32_t height) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) return -1;
    size_t row = 3 * (size_t)width + 1; /* with the number of its filter, 0 for none */
    unsigned char *data = malloc(2 + height * (row + 5) + 4);
    unsigned char header[13] = {0, 0, 0, 0, 0, 0, 0, 0, 8, 2};
    if (data == NULL || row > 65535) {
        free(data);
        fclose(file);
        return -1;
    }
    png_number(header, width);
    png_number(header + 4, height);
    /* A zlib stream of stored blocks, one for each row. */
    unsigned char *to = data;
    uint32_t a = 1, b = 0;
    *to++ = 0x78;
    *to++ = 0x01;
    for (uint32_t y = 0; y < height; y++) {
        unsigned char block[5] = {y + 1 == height, (unsigned char)row, (unsigned char)(row >> 8), (unsigned char)~row,
                                  (unsigned char)(~row >> 8)};
        memcpy(to, block, sizeof block);
        to += sizeof block;
        to[0] = 0;
        memcpy(to + 1, pixels + y * (row - 1), row - 1);
        for (size_t i = 0; i < row; i++) {
            a = (a + to[i]) % 65521;
            b = (b + a) % 65521;
        }
        to += row;
    }
    png_number(to, b << 16 | a);
    to += 4;
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
    png_chunk(file, "IHDR", header, sizeof header);
    png_chunk(file, "IDAT", data, (size_t)(to - data));
    png_chunk(file, "IEND", data, 0);
    free(data);
    int failed = ferror(file);
    return fclose(file) != 0 || failed ? -1 : 0;
}

#endif
