/* What the C tests share. */
#include <math.h>
#include <omniid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                                                         \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, omniid_last_error()); \
            exit(1);                                                                                              \
        }                                                                                                         \
    } while (0)

#define OK(call) EXPECT((call) == OMNIID_STATUS_OK)

/* The call fails with this status, and its message names the thing. */
#define REFUSED(call, status, names)                          \
    do {                                                      \
        omniid_status got_ = (call);                          \
        EXPECT(got_ == (status));                             \
        EXPECT(strstr(omniid_last_error(), (names)) != NULL); \
    } while (0)

/* A drawn picture of 80 x 60 pixels, another one for each number below 16. */
static omniid_photo pixels(int number) {
    static unsigned char pictures[16][80 * 60 * 3];
    static int drawn[16]; /* so that threads only read what was drawn before they began */
    unsigned char *picture = pictures[number];
    for (int i = 0; i < 80 * 60 * 3 && !drawn[number]; i++)
        picture[i] = (unsigned char)(i * (number + 3) / 50 + i % 3 * 40);
    if (!drawn[number]) drawn[number] = 1;
    omniid_photo photo = OMNIID_PHOTO_INIT;
    photo.pixels = picture;
    photo.width = 80;
    photo.height = 60;
    return photo;
}
