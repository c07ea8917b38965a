/* sha256_internal.h - SHA-256 (FIPS 180-4).
 *
 *     app_sha256 hash = app_sha256_begin();
 *     app_sha256_add(&hash, "abc", 3);
 *     app_sha256_end(text, &hash);     "ba7816bf..."
 */
#ifndef APPS_SHA256_INTERNAL_H
#define APPS_SHA256_INTERNAL_H

#include "base/base.h"

enum { APP_SHA256_TEXT = 65 };

typedef struct app_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64];
} app_sha256;

app_sha256 app_sha256_begin(void);
void app_sha256_add(app_sha256 *hash, const void *bytes, size_t count);
/* The sum as 64 hexadecimal digits. */
void app_sha256_end(char out[APP_SHA256_TEXT], app_sha256 *hash);
/* Of a whole file. err names it. */
base_status app_sha256_file(char out[APP_SHA256_TEXT], const char *path, base_error *err);

#endif
