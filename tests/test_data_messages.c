/* test_data_messages.c - what is said of data sets, word by word: each a few small files,
 * how it is opened, and the samples with the whole notice or the whole refusal. "~" is the
 * folder that all lies in. */
#include "data/data_internal.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "tests/test_layouts.h"

typedef struct message_case {
    const char *files; /* "name|name=content|folder/" */
    const char *spec;  /* "": the folder itself, else below it, or LAYOUT:~/... */
    const char *map, *labels, *split, *key;
    const char *classes; /* "ant,bee": a list of classes */
    size_t outputs;
    bool defines, strict /* two classes at least */, unlabelled, lenient;
    bool tar; /* the files are members of set.tar */
    base_status status;
    const char *list; /* of samples, where it can be opened */
    const char *text; /* of the notice or the refusal */
} message_case;

static void make_files(const char *files, bool tar)
{
    char copy[2000], *path = NULL;
    FILE *archive = tar ? set_tar_open(&path, root, "set.tar") : NULL;

    snprintf(copy, sizeof copy, "%s", files);
    for (char *at = copy, *next; at; at = next) {
        next = strchr(at, '|');
        if (next)
            *next++ = '\0';
        char *content = strchr(at, '=');
        if (content)
            *content++ = '\0';
        if (archive) {
            set_member(archive, at, '0', content ? content : at,
                       strlen(content ? content : at));
        } else if (content) {
            set_file(root, at, content, strlen(content));
        } else if (*at && at[strlen(at) - 1] == '/') {
            set_folder(root, at);
        } else if (*at) {
            set_name_file(root, at);
        }
    }
    if (archive)
        set_tar_end(archive);
    base_free(path);
}

/* The text with the root in it as "~": base_free. */
static char *with_tilde(const char *text)
{
    char *out = base_alloc(strlen(text) + 1, 1);
    size_t used = 0;

    for (const char *at = text; *at;) {
        const bool here = strncmp(at, root, strlen(root)) == 0;
        out[used++] = here ? '~' : *at;
        at += here ? strlen(root) : 1;
    }
    return out;
}

/* The text with the root in place of "~" : base_free. */
static char *without_tilde(const char *text)
{
    char *out = base_alloc(strlen(text) * (strlen(root) + 1) + 1, 1);

    for (const char *at = text; *at; at++)
        strncat(out, *at == '~' ? root : (const char[2]){*at, 0}, strlen(root) + 1);
    return out;
}

static char *below_root(const char *name)
{
    return !name               ? NULL
           : !*name            ? base_text("%s", root)
           : strchr(name, '~') ? without_tilde(name)
                               : test_path(root, name);
}

/* Modification times of everything below the root become old: new files are not kept. */
static int make_old(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    const struct timespec old[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};

    (void)info, (void)kind, (void)where;
    return utimensat(AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW);
}

/* All that is known of a source. */
static void summary(char out[4000], const data_source *source)
{
    size_t used = (size_t)snprintf(out, 4000, "%s|%zu|%016jx|", data_source_notice(source),
                                   data_source_classes(source),
                                   (uintmax_t)data_source_fingerprint(source));
    char name[600], whole[1200];
    bool end = false;

    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        used += (size_t)snprintf(out + used, 4000 - used, "%zu ",
                                 data_source_ignored_for(source, (data_ignored)i));
    for (size_t i = 0; i < 4; i++)
        used += (size_t)snprintf(out + used, 4000 - used, "%d",
                                 data_source_unused(&end, source, i) != NULL);
    used += (size_t)snprintf(out + used, 4000 - used, "%s|",
                             data_source_left_out(name, sizeof name, source));
    for (size_t i = 0; i < data_source_count(source) && used < 3000; i++) {
        unsigned char *bytes = NULL;
        size_t room = 0, size = 0;
        base_error err = {0};
        const base_status status = data_source_read(source, i, &bytes, &room, &size, &err);
        used += (size_t)snprintf(out + used, 4000 - used, "%d %s %s %zu %.20s %.20s|",
                                 data_source_label(source, i),
                                 data_source_relative_name(source, i, name, sizeof name),
                                 data_source_name(source, i, whole, sizeof whole),
                                 data_source_bytes(source, i),
                                 status == BASE_OK ? (const char *)bytes : "", err.text);
        base_free(bytes);
    }
}

/* The same from a kept index: nothing may be lost on the way. */
static void check_kept(const char *spec, const data_source_options *options,
                       const data_source *scanned, size_t number)
{
    char *cache = test_folder_make(), want[4000], found[4000];
    data_source_options kept = *options;

    kept.index_cache = cache;
    summary(want, scanned);
    ck_assert_int_eq(nftw(root, make_old, 8, FTW_PHYS), 0);
    for (int i = 0; i < 2; i++) {
        data_source *source = set_open(spec, &kept);
        char *file = data_cache_file(source, &kept);
        summary(found, source);
        ck_assert_msg(strcmp(found, want) == 0, "case %zu: %s\nkept: %s", number, want,
                      found);
        ck_assert_msg(test_exists(file) == source->layout->cached, "case %zu is not kept",
                      number);
        base_free(file);
        data_source_close(source);
    }
    test_folder_remove(cache);
}

static void check(const message_case *c, size_t number)
{
    char *map = below_root(c->map), *labels = below_root(c->labels);
    char *spec = below_root(c->spec), copy[200] = "", list[2000] = "", name[600];
    const char *classes[16];
    data_source_options options = {.class_map = map,
                                   .val_labels = labels,
                                   .split = c->split,
                                   .label_key = c->key,
                                   .classes_of_model = c->outputs,
                                   .defines_classes = c->defines,
                                   .allow_single_class = !c->strict,
                                   .allow_unlabelled = c->unlabelled,
                                   .lenient = c->lenient};
    data_source *source = NULL;
    base_error err = {0};
    size_t used = 0;

    snprintf(copy, sizeof copy, "%s", c->classes ? c->classes : "");
    for (char *at = copy; *at; at += strlen(at) + 1) {
        at[strcspn(at, ",")] = '\0';
        classes[options.class_list_count++] = at;
    }
    options.class_list = options.class_list_count ? classes : NULL;
    make_files(c->files, c->tar);
    const base_status status = data_source_open(&source, spec, &options, &err);
    char *said = with_tilde(status == BASE_OK ? data_source_notice(source) : err.text);
    ck_assert_msg(status == c->status, "case %zu: status %d: %s", number, (int)status,
                  said);
    ck_assert_msg(strcmp(said, c->text) == 0, "case %zu: %s", number, said);
    for (size_t i = 0; source && i < data_source_count(source); i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%d %s",
                                 used ? "|" : "", data_source_label(source, i),
                                 data_source_relative_name(source, i, name, sizeof name));
    ck_assert_msg(!source || strcmp(list, c->list) == 0, "case %zu: %s", number, list);
    if (source)
        check_kept(spec, &options, source, number);
    data_source_close(source);
    base_free(said);
    base_free(map);
    base_free(labels);
    base_free(spec);
    teardown();
    setup();
}

static void check_all(const message_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(&cases[i], i);
}

#define CHECK(cases) check_all(cases, sizeof cases / sizeof *(cases))
#define TWO "ant/1.png|bee/2.png"
#define BAD .status = BASE_FORMAT
#define MISMATCH .status = BASE_MISMATCH
#define USAGE .status = BASE_USAGE

/* ---- classes ------------------------------------------------------------------------- */

START_TEST(classes_are_what_their_names_and_the_options_say)
{
    static const message_case cases[] = {
        {TWO, "", .list = "0 ant/1.png|1 bee/2.png", .text = ""},
        {TWO, "", .outputs = 2, .list = "0 ant/1.png|1 bee/2.png",
         .text = "the network has no names: labels are the ranks of the 2 class names"},
        {TWO, "", .outputs = 2, .defines = true, .list = "0 ant/1.png|1 bee/2.png",
         .text = ""},
        {TWO, "", .outputs = 3, MISMATCH,
         .text = "'~' has the class 'ant', which is none of the network's by its name: 2 "
                 "classes with images, 3 outputs without names; --class-map FILE says what "
                 "it is"},
        {"n01440764/1.png|wolf/2.png", "", .outputs = 1000, MISMATCH,
         .text = "'~' has the class 'wolf', which is none of the network's by its name: 2 "
                 "classes with images, 1000 outputs without names; --class-map FILE says "
                 "what it is"},
        {"1/1.png|7/2.png", "", .outputs = 5, MISMATCH,
         .text = "'~' has the class '7', which is none of the network's by its name: 2 "
                 "classes with images, 5 outputs without names; --class-map FILE says what "
                 "it is"},
        {"1/1.png|7/2.png", "", .outputs = 8, .list = "1 1/1.png|7 7/2.png",
         .text = "folders are numbers: labels are these, from 0"},
        {"2/1.png|10/2.png", "", .list = "0 2/1.png|1 10/2.png",
         .text = "folders are numbers, but not 0 to 1: classes are the 2 folders, label 0 "
                 "is '2'"},
        {"0/1.png|1/2.png", "", .list = "0 0/1.png|1 1/2.png", .text = ""},
        {"1/1.png|01/2.png", "", .outputs = 3, BAD,
         .text = "'~' has two folders for class 1: '01' and '1'"},
        {"n01440764/1.png|n01443537/2.png", "", .outputs = 1000,
         .list = "0 n01440764/1.png|1 n01443537/2.png",
         .text = "2 of ImageNet's 1000 classes, with their global labels"},
        {TWO, "", .classes = "cat,bee,ant,dog", .list = "1 bee/2.png|2 ant/1.png",
         .text = ""},
        {TWO, "", .classes = "bee,cat", MISMATCH,
         .text = "'~' has the class 'ant', which is not among the 2 known classes (the "
                 "next in order is 'bee'): --class-map FILE says what it is"},
        {"zoo/1.png", "", .classes = "bee,cat,ant", MISMATCH,
         .text = "'~' has the class 'zoo', which is not among the 3 known classes (the "
                 "next in order is 'cat'): --class-map FILE says what it is"},
        {TWO, "", .classes = "ant,bee,bee", MISMATCH,
         .text = "'~' has the class 'bee', which two of the 3 known classes are called: "
                 "--class-map FILE says which it is"},
        {TWO, "", .classes = "ant,bee,ant", MISMATCH,
         .text = "'~' has the class 'ant', which two of the 3 known classes are called: "
                 "--class-map FILE says which it is"},
        {TWO, "", .classes = "ant,bee,zoo,zoo", .list = "0 ant/1.png|1 bee/2.png",
         .text = ""},
        {"0/1.png|2/2.png", "", .classes = "cat,dog,bee", .list = "0 0/1.png|2 2/2.png",
         .text = "folders are numbers: labels are these, from 0"},
        {"0/1.png|3/2.png", "", .classes = "cat,dog,bee", MISMATCH,
         .text = "'~' has the class '3', which is not among the 3 known classes (the next "
                 "in order is 'bee'): --class-map FILE says what it is"},
        {"0/1.png|3/2.png", "", .classes = "0,3,5", .list = "0 0/1.png|1 3/2.png",
         .text = ""},
        {"0/1.png|2/2.png", "", .classes = "0,3,5", MISMATCH,
         .text = "'~' has the class '2', which is not among the 3 known classes (the next "
                 "in order is '3'): --class-map FILE says what it is"},
        {"00/1.png|02/2.png", "", .classes = "0,1,2", .list = "0 00/1.png|2 02/2.png",
         .text = "folders are numbers: labels are these, from 0"},
        {"ant/1.png|bee/|cat/x.txt|dog/|eel/|fox/2.png", "",
         .list = "0 ant/1.png|1 fox/2.png",
         .text = "4 of 6 class folders without images, no classes: 'bee', 'cat', 'dog', "
                 "..."},
        {"ant/1.png|bee/|cat/|dog/|fox/2.png", "", .list = "0 ant/1.png|1 fox/2.png",
         .text = "3 of 5 class folders without images, no classes: 'bee', 'cat', 'dog'"},
        {"ant/1.png|bee/", "", .strict = true, BAD,
         .text = "'~' has one class only ('ant'), expected two or more"},
        {"ant/1.png|bee/", "", .strict = true, .classes = "ant,bee", .list = "0 ant/1.png",
         .text = "1 of 2 class folders without images, no classes: 'bee'"},
        {"ant/|bee/", "", BAD,
         .text = "'~' holds no images, expected a folder with one folder of images for "
                 "each class"},
        {"ant/a.gif|bee/b.txt", "", BAD,
         .text = "'~' holds no images, but 2 names that are none (or lie in no class "
                 "folder), expected a folder with one folder of images for each class"},
        {"ant/a.avi|bee/b.webm|bee/c.gif", "", .status = BASE_UNSUPPORTED,
         .text = "'~' holds 2 videos and no images (ImageNet-P's sequences are .mp4): "
                 "videos are not read"},
    };

    CHECK(cases);
}
END_TEST

START_TEST(a_class_map_says_which_labels_folders_have)
{
    static const message_case cases[] = {
        {TWO "|m=ant\t3\nbee\t1\n", "", .map = "m", .list = "1 bee/2.png|3 ant/1.png",
         .text = ""},
        {TWO "|m=name\tlabel\nant\t0 \nbee\t 1\t\n", "", .map = "m",
         .list = "0 ant/1.png|1 bee/2.png", .text = ""},
        {TWO "|m=ant\t0\nbee\t1\nzoo\t2", "", .map = "m", .outputs = 3,
         .list = "0 ant/1.png|1 bee/2.png", .text = ""},
        {TWO "|m=ant\t0\nbee\t3\n", "", .map = "m", .outputs = 3, MISMATCH,
         .text = "'~/m' has the label 3, expected 0 to 2: there are 3 classes"},
        {TWO "|m=ant\t0\n", "", .map = "m", MISMATCH,
         .text = "'~' has the class 'bee', which is not in '~/m'"},
        {TWO "|m=ant\t0\nbee\t1\nant\t0\n", "", .map = "m", BAD,
         .text = "'~/m' maps 'ant' twice"},
        {TWO "|m=# nothing\n\n", "", .map = "m", BAD, .text = "'~/m' maps no class"},
        {TWO "|m=", "", .map = "m", BAD, .text = "'~/m' maps no class"},
        {TWO "|m=ant\t0\nbee 1\n", "", .map = "m", BAD,
         .text = "'~/m' line 2: 'bee 1', expected a folder, a tab and a label"},
        {TWO "|m=a\tb\nant\t0\nbee\tc\n", "", .map = "m", BAD,
         .text = "'~/m' line 3: 'bee\\x09c', expected a folder, a tab and a label"},
        {TWO "|m=ant\t65535\nbee\t0\n", "", .map = "m",
         .list = "0 bee/2.png|65535 ant/1.png", .text = ""},
        {TWO "|m=ant\t65536\nbee\t0\n", "", .map = "m", BAD,
         .text = "'~/m' line 1: 'ant\\x0965536', expected a folder, a tab and a label"},
        {TWO "|m={\"ant\": 65536}", "", .map = "m", BAD,
         .text = "'~/m': 'ant' has the label 65536, expected 0 to 65535"},
        {TWO "|m={\"ant\": -1}", "", .map = "m", BAD,
         .text = "'~/m': 'ant' has the label -1, expected 0 to 65535"},
        {TWO "|m={\"ant\": 1, \"bee\": true}", "", .map = "m", BAD,
         .text = "'~/m': the value of 'bee' is neither a label nor, under a number, a "
                 "folder"},
        {TWO "|m={\"x\": \"ant\"}", "", .map = "m", BAD,
         .text = "'~/m': the value of 'x' is neither a label nor, under a number, a "
                 "folder"},
        {TWO "|m={\"1\": [3]}", "", .map = "m", BAD,
         .text = "'~/m': the value of '1' is neither a label nor, under a number, a "
                 "folder"},
        {TWO "|m={\"1\": \"ant\", \"0\": [\"bee\", \"Bee\"]}", "", .map = "m",
         .list = "0 bee/2.png|1 ant/1.png", .text = ""},
        {TWO "|m= [\"bee\", \"ant\"]", "", .map = "m", .list = "0 bee/2.png|1 ant/1.png",
         .text = ""},
        {TWO "|m=[\"bee\", 7]", "", .map = "m", BAD,
         .text = "'~/m': entry 1 of the list is no folder"},
        {TWO, "", .map = "m", .status = BASE_IO,
         .text = "cannot open '~/m': No such file or directory"},
        {TWO "|m=ant\t1\nbee\t0\n", "", .map = "m", .classes = "x,y,z",
         .list = "0 bee/2.png|1 ant/1.png", .text = ""},
    };

    CHECK(cases);
}
END_TEST

/* ---- lists --------------------------------------------------------------------------- */

START_TEST(lists_are_read_line_by_line)
{
#define LIST "a.png|b.png|l.txt="
    static const message_case cases[] = {
        {LIST "a.png\t1\nb.png\t0\n", "l.txt", .list = "1 1/000000-a.png|0 0/000001-b.png",
         .text = ""},
        {LIST "a.png\tx\nb.png\ty", "l.txt", .list = "0 x/000000-a.png|1 y/000001-b.png",
         .text = ""},
        {LIST "a.png\nb.png\n", "l.txt", .unlabelled = true,
         .list = "-1 000000-a.png|-1 000001-b.png", .text = ""},
        {LIST "a.png\nb.png\n", "l.txt", BAD,
         .text = "'~/l.txt' holds 2 images but no class folders or labels, expected a "
                 "folder with one folder of images for each class, or a file of labels "
                 "(--val-labels)"},
        {LIST "# a\na.png\t1\n#\n# b\n", "l.txt", .list = "1 1/000000-a.png",
         .text = "3 lines of remarks (# and no tab) in '~/l.txt', the last 4"},
        {LIST "# a\n\n  \na.png\t1\n", "list:~/l.txt", .list = "1 1/000000-a.png",
         .text = "1 line of remarks (# and no tab) in '~/l.txt', the last 1"},
        {LIST "a.png\t1\nb.png\n", "l.txt", BAD,
         .text = "'~/l.txt' line 2: no tab with a label after it, as the lines before "
                 "have: 'b.png'"},
        {LIST "a.png\n\nb.png\t1\n", "l.txt", BAD,
         .text = "'~/l.txt' line 3: a tab with a label after it, but the lines before "
                 "have none: 'b.png\\x091'"},
        {LIST "a.png\t1\nb.png\tx\n", "l.txt", BAD,
         .text = "'~/l.txt' line 2: some labels are numbers and some are names: no "
                 "number: 'b.png\\x09x'"},
        {LIST "a.png\tx\nb.png\t1\n", "l.txt", BAD,
         .text = "'~/l.txt' line 2: some labels are numbers and some are names: a number: "
                 "'b.png\\x091'"},
        {LIST "a.png\t1.5\n", "l.txt", BAD,
         .text = "'~/l.txt' line 1: the label is a number, but none of a class: "
                 "'a.png\\x091.5'"},
        {LIST "a.png\t  1.0  \textra\n", "l.txt", .list = "1 1/000000-a.png", .text = ""},
        {LIST "c.png\t1\n", "l.txt", .status = BASE_IO,
         .text = "'~/l.txt' line 1: cannot open 'c.png': No such file or directory"},
        {LIST "a.png, 1\n", "l.txt", BAD,
         .text = "'~/l.txt' line 1: no such file; between a path and its label stands a "
                 "tab, and here is none: 'a.png, 1'"},
        {"d/|" LIST "a.png\t1\nd\t1\n", "l.txt", BAD,
         .text = "'~/l.txt' line 2: is no file: 'd\\x091'"},
        {LIST "x.tar!a.png\t1\n", "list:~/l.txt", .status = BASE_IO,
         .text = "'~/l.txt' line 1: cannot open '~/x.tar': No such file or directory"},
        {LIST "a.png\t5\n", "l.txt", .outputs = 5, .list = "-1 000000-a.png", .text = ""},
        {LIST "a.png\t4\nb.png\t0\n", "l.txt", .outputs = 5,
         .list = "4 4/000000-a.png|0 0/000001-b.png", .text = ""},
        {LIST "a.png\t0\n", "l.txt", .strict = true, BAD,
         .text = "'~/l.txt' has one class only ('0'), expected two or more"},
        {"s/a.png|s/l.lst=a.png\t1\n../s/a.png\t0\n", "s/l.lst",
         .list = "1 1/000000-a.png|0 0/000001-a.png", .text = ""},
        {LIST "notes\n", "l.txt", BAD,
         .text = "'~/l.txt' is no data set, expected a folder with one folder of images "
                 "for each class, or a tar archive of class folders, or a pair of IDX "
                 "files (*-images-idx3-ubyte, *-labels-idx1-ubyte, also .gz)"},
        {"a.png|l.md=a.png\t1\n", "l.md", BAD,
         .text = "'~/l.md' is no data set, expected a folder with one folder of images "
                 "for each class, or a tar archive of class folders, or a pair of IDX "
                 "files (*-images-idx3-ubyte, *-labels-idx1-ubyte, also .gz)"},
    };

    CHECK(cases);
}
END_TEST

/* A name of 4096 bytes may be asked for, a line has 8191 at most. */
START_TEST(long_lines_of_lists_are_told)
{
    static const struct {
        size_t bytes;
        base_status status;
        const char *text; /* behind the list's name */
    } cases[] = {{4096, BASE_IO, "' line 1: cannot open '"},
                 {4097, BASE_FORMAT, "' line 1: the name is too long: 'nnnnnnnn"},
                 {8188, BASE_FORMAT, "' line 1: the name is too long: 'nnnnnnnn"},
                 {8189, BASE_FORMAT, "' line 1 is too long"}};
    char *path = test_path(root, "l.txt"), *spec = base_text("list:%s", path);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_source *source = NULL;
        base_error err = {0};
        char *text = base_alloc(cases[i].bytes + 8, 1);
        char *want = base_text("'%s%s", path, cases[i].text);
        memset(text, 'n', cases[i].bytes);
        memcpy(text + cases[i].bytes, "\t1\n", 3);
        set_text("l.txt", text);
        ck_assert_int_eq(data_source_open(&source, spec, NULL, &err), cases[i].status);
        ck_assert_msg(strncmp(err.text, want, strlen(want)) == 0, "%s", err.text);
        base_free(want);
        base_free(text);
    }
    base_free(spec);
    base_free(path);
}
END_TEST

/* ---- above class folders ------------------------------------------------------------- */

START_TEST(parts_and_folders_around_are_told)
{
#define PARTS "train/ant/1.png|train/bee/2.png|val/ant/3.png|val/bee/4.png"
    static const message_case cases[] = {
        {PARTS, "", .list = "0 ant/3.png|1 bee/4.png", .text = "reading 'val' of '~'"},
        {PARTS, "", .split = "TRAIN", .list = "0 ant/1.png|1 bee/2.png",
         .text = "reading 'train' of '~'"},
        {PARTS, "", .split = "test", .status = BASE_IO,
         .text = "'~' holds no folder for the split test, but 'train', 'val': say which "
                 "is meant, with --split or the folder's own path"},
        {PARTS "|valid/ant/5.png", "", .list = "0 ant/3.png|1 bee/4.png",
         .text = "reading 'val' of '~'"},
        {"dev/ant/3.png|valid/ant/5.png", "", USAGE,
         .text = "'~' holds several folders for the split val, but 'dev', 'valid': say "
                 "which is meant, with --split or the folder's own path"},
        {PARTS "|more/x.txt", "", USAGE,
         .text = "'~' has the folders 'train', 'val', parts of a data set, and beside "
                 "them 'more': say which is meant, with --split or the folder's own path"},
        {PARTS "|more/x.txt|odd/", "", .split = "val", .list = "0 ant/3.png|1 bee/4.png",
         .text = "reading 'val' of '~'; beside the parts lie 'more', 'odd'"},
        {"set/train/ant/1.png|set/train/bee/2.png|set/val/ant/3.png", "", .split = "train",
         .list = "0 ant/1.png|1 bee/2.png",
         .text = "'~' holds only the folder 'set': reading that; reading 'train' of "
                 "'~/set'"},
        {"a b/ant/1.png|a b/bee/2.png", "", .list = "0 ant/1.png|1 bee/2.png",
         .text = "'~' holds only the folder 'a b': reading that"},
        {"x/y/ant/1.png|x/y/bee/2.png", "", .list = "0 ant/1.png|1 bee/2.png",
         .text = "'~' holds only the folder 'x': reading that; '~/x' holds only the folder "
                 "'y': reading that"},
        {"train/1.png|test/2.png", "", .list = "0 test/2.png|1 train/1.png",
         .text = "the classes of '~' are called as parts of a data set are"},
        {"es/ant/1.png|es/bee/2.png|en/ant/3.png|en/bee/4.png", "",
         .list = "0 en/ant/3.png|0 en/bee/4.png|1 es/ant/1.png|1 es/bee/2.png",
         .text = "the classes are the 2 folders 'en' to 'es', each of which holds 'ant' "
                 "and more of the same names: where those are the classes, name one of the "
                 "2"},
        {"es/ant/1.png|es/bee/2.png|en/ant/3.png|en/cow/4.png", "",
         .list = "0 en/ant/3.png|0 en/cow/4.png|1 es/ant/1.png|1 es/bee/2.png", .text = ""},
        {"1/ant/1.png|4/ant/1.png", "", USAGE,
         .text = "'~' has the folders '1' to '4' with class folders in them, severities "
                 "of a corruption: name one of them, or the tree above as imagenet-c:DIR"},
        {"1/ant/1.png|6/ant/1.png", "", .list = "0 1/ant/1.png|1 6/ant/1.png",
         .text = "folders are numbers, but not 0 to 1: classes are the 2 folders, label 0 "
                 "is '1'"},
        {"fog/3/ant/1.png|snow/5/ant/1.png", "folder:~", USAGE,
         .text = "'~' is an ImageNet-C tree, whose folders are corruptions and severities, "
                 "no classes: eval --imagenet-c ~ evaluates each, imagenet-c:~ is all of "
                 "them"},
        {"ant/1.png|bee/2.png|3.png|4.png", "", .list = "0 ant/1.png|1 bee/2.png",
         .text = "2 images outside of any class folder ignored"},
        {"1.png|2.png|x/a.txt", "", BAD,
         .text = "'~' holds 2 images but no class folders or labels, expected a folder "
                 "with one folder of images for each class, or a file of labels "
                 "(--val-labels)"},
        {"1.png|2.png", "images:~", .unlabelled = true, .list = "-1 1.png|-1 2.png",
         .text = ""},
        {"1.png|2.png|l=1.png cat\n2.png dog\n3.png eel\n", "images:~", .labels = "l",
         .list = "0 cat/1.png|1 dog/2.png",
         .text = "'~/l' has labels of 1 images more; labels: '~/l', 3 names with classes"},
        {"1.png|2.png|l=cat\n", "images:~", .labels = "l", MISMATCH,
         .text = "'~/l' holds labels of 1 images (1 classes), but '~' holds 2"},
        {"x_1.png|x_2.png|l=3\n5\n", "images:~", .labels = "l", .outputs = 10,
         .list = "3 3/x_1.png|5 5/x_2.png",
         .text = "labels: '~/l', 2 numbers; folders are numbers: labels are these, from "
                 "0"},
    };

    CHECK(cases);
}
END_TEST

/* Tiny ImageNet's list of classes in another order than torchvision's. */
/* Folders beside the parts are told as far as there is room. */
START_TEST(many_folders_beside_parts_are_cut)
{
    enum { LONG = 120, ROOM = 399 };
    char name[LONG + 20], rest[600] = "";
    base_error err = {0};
    data_source *source = NULL;

    set_name_file(root, "train/a/1.png");
    set_name_file(root, "val/a/1.png");
    for (char c = 'A'; c < 'E'; c++) {
        memset(name, c, LONG);
        name[LONG] = '\0';
        snprintf(rest + strlen(rest), sizeof rest - strlen(rest), "%s'%s'",
                 rest[0] ? ", " : "", name);
        snprintf(name + LONG, sizeof name - LONG, "/a/1.png");
        set_name_file(root, name);
    }
    ck_assert_int_eq(data_source_open(&source, root, NULL, &err), BASE_USAGE);
    char *want = base_text("'%s' has the folders 'train', 'val', parts of a data set, and "
                           "beside them %.*s: say which is meant, with --split or the "
                           "folder's own path",
                           root, ROOM, rest);
    ck_assert_str_eq(err.text, want);
    base_free(want);
}
END_TEST

START_TEST(lists_of_classes_in_another_order_are_told)
{
#define TINY "train/n1/1.png|train/n2/2.png|val/n1/3.png|val/n2/4.png|wnids.txt="
#define TOLD                                                                               \
    "classes are in the order of their folders' names, as torchvision has them; "          \
    "'wnids.txt' has another, which is not used"
    static const message_case cases[] = {
        {TINY "n1\nn2\n", "", .list = "0 n1/3.png|1 n2/4.png",
         .text = "reading 'val' of '~'"},
        {TINY "n2\nn1\n", "", .list = "0 n1/3.png|1 n2/4.png",
         .text = "reading 'val' of '~'; " TOLD},
        {TINY "n1\r\n\r\nn1\r\nn2", "", .list = "0 n1/3.png|1 n2/4.png",
         .text = "reading 'val' of '~'"},
        {TINY "n1\nn\n", "", .list = "0 n1/3.png|1 n2/4.png",
         .text = "reading 'val' of '~'; " TOLD},
        {TINY "n\nn1\nn10\nn2", "", .list = "0 n1/3.png|1 n2/4.png",
         .text = "reading 'val' of '~'"},
        {TINY "n2\nn1\n", "set.tar", .tar = true, .list = "0 n1/3.png|1 n2/4.png",
         .text = "reading 'val' of '~/set.tar'; " TOLD},
        {TINY "n1\nn2\n", "set.tar", .tar = true, .list = "0 n1/3.png|1 n2/4.png",
         .text = "reading 'val' of '~/set.tar'"},
    };

    CHECK(cases);
}
END_TEST

START_TEST(archives_say_what_lies_in_them)
{
    static const message_case cases[] = {
        {TWO, "set.tar", .tar = true, .list = "0 ant/1.png|1 bee/2.png", .text = ""},
        {PARTS, "set.tar", .tar = true, .list = "0 ant/3.png|1 bee/4.png",
         .text = "reading 'val' of '~/set.tar'"},
        {PARTS, "set.tar", .tar = true, .split = "test", .status = BASE_IO,
         .text = "'~/set.tar' holds no folder for the split test, but 'train', 'val': say "
                 "which is meant, with --split or the folder's own path"},
        {"x/y/ant/1.png|x/y/bee/2.png", "set.tar", .tar = true,
         .list = "0 ant/1.png|1 bee/2.png",
         .text = "'~/set.tar' holds only the folder 'x': reading that; '~/set.tar!x' holds "
                 "only the folder 'y': reading that"},
        {"es/ant/1.png|es/bee/2.png|en/ant/3.png|en/bee/4.png", "set.tar", .tar = true,
         .list = "0 en/ant/3.png|0 en/bee/4.png|1 es/ant/1.png|1 es/bee/2.png",
         .text = "the classes are the 2 folders 'es' to 'en', each of which holds 'ant' "
                 "and more of the same names: where those are the classes, name one of the "
                 "2"},
        {"1.png|ant/2.png|bee/3.png", "set.tar", .tar = true,
         .list = "0 ant/2.png|1 bee/3.png", .text = ""},
        {"ant/1.png|bee/2.png|ant/3.png|cow/4.txt", "set.tar", .tar = true,
         .list = "0 ant/1.png|0 ant/3.png|1 bee/2.png",
         .text = "1 of 3 class folders without images, no classes: 'cow'"},
        {"a.tar|b.zip|c.txt", "tar:~/set.tar", .tar = true, .status = BASE_UNSUPPORTED,
         .text = "'~/set.tar' holds 2 archives and no images, expected a tar archive of "
                 "class folders"},
        {"ant/1.gif|bee/x", "set.tar", .tar = true, BAD,
         .text = "'~/set.tar' holds no images, but 2 names that are none (or lie in no "
                 "class folder), expected a tar archive of class folders"},
        {"fog/1/c/1.png", "tar:~/set.tar", .tar = true, USAGE,
         .text = "'~/set.tar' is an ImageNet-C tree (it holds 'fog/1/c/1.png'), whose "
                 "folders are corruptions and severities, no classes: eval --imagenet-c "
                 "~/set.tar evaluates each, imagenet-c:~/set.tar is all of them"},
        {"1.png|2.png", "set.tar", .tar = true, BAD,
         .text = "'~/set.tar' holds 2 images but no class folders or labels, expected a "
                 "folder with one folder of images for each class, or a file of labels "
                 "(--val-labels)"},
        {"1.png|2.png", "set.tar", .tar = true, .unlabelled = true,
         .list = "-1 1.png|-1 2.png", .text = ""},
        {"val/images/1.png|val/images/2.png|val/val_annotations.txt=1.png\tcat\n"
         "2.png\tant\n|train/ant/3.png|train/cat/4.png",
         "set.tar", .tar = true, .list = "1 cat/1.png|0 ant/2.png",
         .text = "reading 'val' of '~/set.tar'; labels: "
                 "'~/set.tar!val/val_annotations.txt', 2 names with classes"},
        {"x/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG|x/Data/CLS-LOC/train/n01440764/"
         "1.JPEG",
         "set.tar", .tar = true, .split = "train", .outputs = 1000,
         .list = "0 n01440764/1.JPEG",
         .text = "reading 'x/Data/CLS-LOC/train' of '~/set.tar', Kaggle's tree of "
                 "ImageNet; 1 of ImageNet's 1000 classes, with their global labels"},
        {"x/Data/CLS-LOC/train/n01440764/1.JPEG", "set.tar", .tar = true, .outputs = 1000,
         .status = BASE_IO,
         .text = "'~/set.tar' holds no pictures in 'x/Data/CLS-LOC/val': say which part is "
                 "meant, with --split"},
    };

    CHECK(cases);
}
END_TEST

/* ---- options and specs --------------------------------------------------------------- */

#define UNUSED(option, why)                                                                \
    "--" option " means nothing for '~', a folder with one folder of images for each "     \
    "class (folder)" why

START_TEST(what_means_nothing_is_said)
{
    static const message_case cases[] = {
        {TWO, "", .split = "val", USAGE, .text = UNUSED("split", ": it has no parts")},
        {TWO, "", .labels = "x", USAGE,
         .text = UNUSED("val-labels", ": its labels are its own")},
        {TWO, "", .key = "x", USAGE, .text = UNUSED("label-key", "")},
        {LIST "a.png\t1\n", "l.txt", .map = "x", USAGE,
         .text = "--class-map means nothing for '~/l.txt', a text file with a line "
                 "PATH<tab>LABEL for each image (list): its labels are no class folders"},
        {TWO, "", .split = "val", .labels = "x", .key = "k", .lenient = true,
         .list = "0 ant/1.png|1 bee/2.png", .text = ""},
        {"x", "nothing", .status = BASE_IO,
         .text = "cannot open '~/nothing': No such file or directory"},
        {"batches.meta|data_batch_1", "", .status = BASE_UNSUPPORTED,
         .text = "'~/batches.meta' is CIFAR's Python version: fetch the binary version, "
                 "which is read"},
        {"data/a.arrow", "", .status = BASE_UNSUPPORTED,
         .text = "'~/data/a.arrow' is Arrow (datasets' save_to_disk): save it as folders "
                 "or WebDataset shards"},
        {"other/a.arrow", "", BAD,
         .text = "'~' holds no images, but 1 names that are none (or lie in no class "
                 "folder), expected a folder with one folder of images for each class"},
        {"x.beton", "x.beton", .status = BASE_UNSUPPORTED,
         .text = "'~/x.beton' is FFCV's: use what it was made of"},
        {"d/data.mdb", "d", .status = BASE_UNSUPPORTED,
         .text = "'~/d/data.mdb' is LMDB: save it as folders or WebDataset shards"},
        {"x.lmdb", "x.lmdb", .status = BASE_UNSUPPORTED,
         .text = "'~/x.lmdb' is LMDB: save it as folders or WebDataset shards"},
        {"x.h5", "x.h5", .status = BASE_UNSUPPORTED,
         .text = "'~/x.h5' is HDF5: save its arrays as .npy (images.npy and labels.npy)"},
        {"x.HDF5", "x.HDF5", .status = BASE_UNSUPPORTED,
         .text = "'~/x.HDF5' is HDF5: save its arrays as .npy (images.npy and labels.npy)"},
        {"x.npz", "x.npz", .status = BASE_UNSUPPORTED,
         .text = "'~/x.npz' is NumPy's archive: save its arrays as .npy (images.npy and "
                 "labels.npy)"},
        {"x.mat", "x.mat", .status = BASE_UNSUPPORTED,
         .text =
             "'~/x.mat' is MATLAB's: save its arrays as .npy (images.npy and labels.npy)"},
        {"x.rec", "x.rec", .status = BASE_UNSUPPORTED,
         .text = "'~/x.rec' is MXNet's RecordIO: save it as folders or WebDataset shards"},
    };

    CHECK(cases);
}
END_TEST

/* ---- what is taken for what ---------------------------------------------------------- */

/* How sure each layout is of a path: 2, 1, or 0 for not at all; the surest reads it. */
START_TEST(layouts_are_sure_of_their_own)
{
    static const data_layout *const layouts[] = {
        &data_layout_folder,  &data_layout_tar,        &data_layout_zip,
        &data_layout_ilsvrc,  &data_layout_kaggle,     &data_layout_wds,
        &data_layout_list,    &data_layout_idx,        &data_layout_cifar,
        &data_layout_images,  &data_layout_imagenet_c, &data_layout_npy,
        &data_layout_tfrecord};
    enum { LAYOUTS = sizeof layouts / sizeof *layouts };
    static const struct {
        const char *path, *sure; /* folder tar zip ilsvrc kaggle wds list idx cifar images
                                    imagenet-c npy tfrecord */
    } cases[] = {
        {"classes", "1000000000000"},
        {"classes/ant", "0000000001000"},
        {"flat", "0000000001000"},
        {"set.tar", "0100000000000"},
        {"shards.tar", "0100020000000"},
        {"shards-{0..1}.tar", "0000010000000"},
        {"train.tar", "0102000000000"},
        {"val.tar", "0102000000000"},
        {"noise.tar", "0100000000300"},
        {"set.zip", "0010000000000"},
        {"down", "0002000000000"},
        {"kaggle", "1000200000000"},
        {"kaggle/ILSVRC/Data/CLS-LOC/val", "0000200001000"},
        {"kaggle/ILSVRC/Data/CLS-LOC/train", "1000000000000"},
        {"l.txt", "0000002000000"},
        {"l.md", "0000000000000"},
        {"mnist", "0000000100000"},
        {"mnist/train", "0000000100000"},
        {"mnist/train-images-idx3-ubyte", "0000000100000"},
        {"mnist/train-labels-idx1-ubyte", "0000000100000"},
        {"cifar", "0000000020000"},
        {"cifar/test_batch.bin", "0000000020000"},
        {"tree", "1000000000200"},
        {"numpy", "0000000000020"},
        {"numpy/images.npy", "0000000000020"},
        {"numpy/images.npy#3", "0000000000020"},
        {"records", "0000000000001"},
        {"records/x.tfrecord", "0000000000002"},
        {"records/y-{0..1}.tfrecord", "0000010000002"},
        {"empty", "0000000000000"},
        {"none", "0000000000000"},
    };
    static const char *const tars[][3] = {{"set.tar", "a/1.png", "b/2.png"},
                                          {"shards.tar", "1.jpg", "1.cls"},
                                          {"train.tar", "n01440764.tar", "n01443537.tar"},
                                          {"val.tar", "ILSVRC2012_val_00000001.JPEG", "x"},
                                          {"noise.tar", "fog/1/a/1.png", "fog/2/a/1.png"}};

    make_files("classes/ant/1.png|classes/bee/2.png|flat/1.png|flat/2.png|set.zip|"
               "down/ILSVRC2012_img_val.tar|kaggle/ILSVRC/Data/CLS-LOC/train/n1/1.JPEG|"
               "kaggle/ILSVRC/Data/CLS-LOC/val/1.JPEG|l.txt=classes/ant/1.png\t1\n|"
               "l.md=classes/ant/1.png\t1\n|mnist/train-images-idx3-ubyte|"
               "mnist/train-labels-idx1-ubyte|cifar/test_batch.bin|tree/fog/1/a/1.png|"
               "numpy/images.npy|numpy/labels.npy|records/x.tfrecord|empty/",
               false);
    for (size_t i = 0; i < sizeof tars / sizeof *tars; i++) {
        char *path;
        FILE *tar = set_tar_open(&path, root, tars[i][0]);
        set_name_member(tar, tars[i][1]);
        set_name_member(tar, tars[i][2]);
        set_tar_end(tar);
        base_free(path);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = test_path(root, cases[i].path), found[LAYOUTS + 1] = "";
        for (size_t k = 0; k < LAYOUTS; k++)
            found[k] = (char)('0' + layouts[k]->fits(path));
        ck_assert_msg(strcmp(found, cases[i].sure) == 0, "%s: %s", cases[i].path, found);
        base_free(path);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data messages");
    TCase *core = test_case("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, classes_are_what_their_names_and_the_options_say);
    tcase_add_test(core, a_class_map_says_which_labels_folders_have);
    tcase_add_test(core, lists_are_read_line_by_line);
    tcase_add_test(core, long_lines_of_lists_are_told);
    tcase_add_test(core, parts_and_folders_around_are_told);
    tcase_add_test(core, many_folders_beside_parts_are_cut);
    tcase_add_test(core, lists_of_classes_in_another_order_are_told);
    tcase_add_test(core, archives_say_what_lies_in_them);
    tcase_add_test(core, what_means_nothing_is_said);
    tcase_add_test(core, layouts_are_sure_of_their_own);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
