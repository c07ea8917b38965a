/* archives_internal.h - tars and zips: their members, and what the layouts share that
 * read in them. */
#ifndef DATA_ARCHIVES_INTERNAL_H
#define DATA_ARCHIVES_INTERNAL_H

#include "data/sources/sources_internal.h"

/* ---- members of archives ------------------------------------------------------------ */

typedef struct data_member {
    /* Without "./" and doubled slashes, a folder with its final '/'; NULL: hidden, climbing
     * or too long. Valid until the next member. The memory has room for one more byte. */
    char *name;
    uint64_t header;   /* tar: where its header, or what belongs before it, begins; zip: its
                          entry in the directory */
    uint64_t at, size; /* of the bytes (at: tar only); size 0 for all but files */
    uint64_t after;    /* where the next header or entry may begin */
    bool file, folder; /* neither: a link, a device, ... */
    /* A hard link's target, valid as name is; NULL: none. A link that leads to a file of
     * the archive is that file under its own name: file is true, at and size are the
     * file's. */
    const char *link;
    bool sparse;
    bool zip;
} data_member;

/* The path of a member without "./" and doubled slashes into out [DATA_NAME_MAX + 2].
 * False when it is to be ignored: hidden, climbing, too long, or NULL. */
bool data_member_name(char *out, const char *from);
/* Counts a member that is no sample; folders count nowhere. */
void data_member_ignore(data_source *source, const data_member *m);
/* A record of a member that is a sample. */
data_record data_member_record(const data_member *m, uint32_t container, int32_t label);

/* A walk over a tar or a zip. */
typedef struct data_walk {
    struct data_tar *tar;
    struct data_zip *zip;
} data_walk;
/* The members of the archive in fd (borrowed), of bytes bytes; range: whose headers (zip:
 * entries) begin at range[0] and end before range[1], NULL: all. path is for messages. The
 * caller closes it. */
base_status data_walk_open(data_walk *out, bool zip, int fd, const char *path,
                           uint64_t bytes, const uint64_t range[2], base_error *err);
base_status data_walk_next(data_walk *walk, data_member *out, bool *done, base_error *err);
/* After the last member: a tar that ended without its two blocks of zeros. */
bool data_walk_cut(const data_walk *walk);
void data_walk_close(data_walk *walk);

/* ---- walking over a zip (zip.c) ----------------------------------------------------- */

typedef struct data_zip data_zip;
/* A walk over the directory of the zip in fd (borrowed), of bytes bytes. The caller closes
 * *out. BASE_FORMAT: damaged; BASE_UNSUPPORTED: in several volumes. */
base_status data_zip_open(data_zip **out, int fd, const char *path, uint64_t bytes,
                          base_error *err);
void data_zip_close(data_zip *zip); /* NULL is fine */
/* From now on only entries from begin to end, as data_member.header and after have them. */
void data_zip_limit(data_zip *zip, uint64_t begin, uint64_t end);
/* The next member; *done: there is none. An image that cannot be read (encrypted, packed by
 * another method than deflate) or would unpack to absurd sizes is an error. */
base_status data_zip_next(data_zip *zip, data_member *out, bool *done, base_error *err);
/* Unpacks the size bytes of the member whose entry is at offset entry of the directory into
 * to. err: the reason alone. Safe from several threads. */
base_status data_zip_read(unsigned char *to, int fd, uint64_t entry, uint32_t size,
                          uint64_t bytes, base_error *err);
/* Its name into out [DATA_NAME_MAX + 2]; false: not to be read. */
bool data_zip_name(char *out, int fd, uint64_t entry);
/* Where its bytes begin (about) and how many they are, packed; false: not to be read. */
bool data_zip_place(uint64_t *at, uint64_t *bytes, int fd, uint64_t entry);
/* Whether the path names a zip, by its name or its first bytes. */
bool data_zip_looks(const char *path);

/* ---- walking over a tar (tar_members.c) --------------------------------------------- */

enum { DATA_TAR_BLOCK = 512 };

typedef struct data_tar data_tar;
/* A walk over the archive in bytes begin..end of fd (borrowed); path is for messages. The
 * caller closes *out. */
base_status data_tar_open(data_tar **out, int fd, const char *path, uint64_t begin,
                          uint64_t end, base_error *err);
void data_tar_close(data_tar *tar); /* NULL is fine */
/* The next member; *done: there is none. Checks headers' sums and that members lie within
 * the archive. */
base_status data_tar_next(data_tar *tar, data_member *out, bool *done, base_error *err);
/* From now on hard links are members of their own, neither files nor folders. */
void data_tar_leave_links(data_tar *tar);
/* Where hard links of the archive lead to (tar_links.c). The caller destroys *out. */
typedef struct data_tar_links data_tar_links;
base_status data_tar_links_create(data_tar_links **out, int fd, const char *path,
                                  uint64_t begin, uint64_t end, base_error *err);
void data_tar_links_destroy(data_tar_links *links); /* NULL is fine */
/* The file that name, a link's target, is; false: there is none. Its name is not valid. */
bool data_tar_links_find(data_member *out, const data_tar_links *links, const char *name);
/* After the last member: the archive ended without its two blocks of zeros. */
bool data_tar_cut(const data_tar *tar);
/* The name of the member whose header begins at offset header, into
 * out [DATA_NAME_MAX + 2]. False: not to be read. */
bool data_tar_name(char *out, int fd, uint64_t header, uint64_t end);
/* An error for compressed files; BASE_OK for anything else. */
base_status data_tar_refuse_compressed(int fd, const char *path, base_error *err);
/* Whether the path names a tar, by its name or its magic. */
bool data_tar_looks(const char *path);
/* The file joins source->files as an archive, and the witnesses; it is not opened. */
base_status data_tar_join(data_source *source, uint32_t *number, const char *path,
                          base_error *err);
/* Holds an archive of source->files for a walk: not empty, not compressed. The caller
 * releases it. */
base_status data_tar_hold(int *fd, const data_source *source, uint32_t number,
                          base_error *err);
/* The same without asking what is in it; kind: "a tar archive". */
base_status data_archive_hold(int *fd, const data_source *source, uint32_t number,
                              const char *kind, base_error *err);

/* ---- reading from source->files ------------------------------------------------------ */

base_status data_archive_read(const data_source *source, const data_record *record,
                              unsigned char *to, base_error *err);
/* The member's name from its header, into out [DATA_NAME_MAX + 2]; false: unreadable. */
bool data_archive_name(char *out, const data_source *source, const data_record *record);
void data_archive_advise(const data_source *source, const data_record *record);

#endif
