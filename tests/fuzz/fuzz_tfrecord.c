/* fuzz_tfrecord.c - any bytes as a TFRecord file. Most changes keep the sums of lengths and
 * records: else nothing behind the first one is ever met. */
#include "data/sources/tfrecord_internal.h"

#include "tests/fuzz/fuzz_source.h"

static void put_sum(uint8_t *at, const uint8_t *bytes, size_t count)
{
    const uint32_t sum = data_crc32c_masked(data_crc32c(0, bytes, count));

    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(sum >> 8 * i);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, room);
    for (size_t at = 0; seed % 8 != 0 && size - at >= 16;) {
        uint64_t length = 0;
        for (int i = 7; i >= 0; i--)
            length = length << 8 | bytes[at + i];
        put_sum(bytes + at + 8, bytes + at, 8);
        if (length > size - at - 16)
            break;
        put_sum(bytes + at + 12 + length, bytes + at + 12, length);
        at += 16 + length;
    }
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_archive("tfrecord", bytes, size);
    return 0;
}
