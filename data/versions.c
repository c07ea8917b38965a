/* versions.c - which libraries this room was built with, for --version and for result
 * files: the last bit of a decoded JPEG depends on the version of libjpeg-turbo (data.md
 * 9). */
#include "data/data.h"

#include <stdio.h>

#include <archive.h>
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#define TEXT_OF(x) #x
#define VALUE_OF(x) TEXT_OF(x) /* the number comes as a bare token, 2.1.5 */

#ifdef LIBJPEG_TURBO_VERSION
#define JPEG_NAME "libjpeg-turbo " VALUE_OF(LIBJPEG_TURBO_VERSION)
#else
#define JPEG_NAME "libjpeg " VALUE_OF(JPEG_LIB_VERSION)
#endif

const char *data_versions(void)
{
    return JPEG_NAME ", libpng " PNG_LIBPNG_VER_STRING
                     ", libarchive " ARCHIVE_VERSION_ONLY_STRING ", zlib " ZLIB_VERSION;
}
