/* test_data_layouts.c - WebDataset, lists, ImageNet-C trees, plain folders; class maps. */
#include "data/data_internal.h"

#include "tests/test_layouts.h"

static const data_source_options one = {.allow_single_class = true};
static const data_source_options imagenet = {.classes_of_model = 1000,
                                             .allow_single_class = true};
static const data_source_options unlabelled = {.allow_single_class = true,
                                               .allow_unlabelled = true};

/* ---- WebDataset --------------------------------------------------------------------- */

START_TEST(shards_are_samples_of_keys_in_order)
{
    char *path, name[600];
    FILE *tar = set_tar_open(&path, root, "x-000001.tar");

    set_member(tar, "k/9.cls", '0', " 3 \n", 4); /* the label may come first */
    set_name_member(tar, "k/9.png");
    set_member(tar, "k/9.txt", '0', "words", 5);
    set_tar_end(tar);
    base_free(path);
    tar = set_tar_open(&path, root, "x-000000.tar");
    set_member(tar, "__meta__.json", '0', "{}", 2);
    set_name_member(tar, "a/0001.png");
    set_name_member(tar, "a/0001.JPG"); /* better than png */
    set_member(tar, "a/0001.json", '0', "{\"cls\": 7, \"x\": [1]}", 20);
    set_name_member(tar, "a/0002.v1.png"); /* its part is v1.png */
    set_member(tar, "a/0002.cls", '0', "1", 1);
    set_name_member(tar, "a/0003.jpeg");
    set_name_member(tar, "b/0003.jpeg"); /* another key */
    set_member(tar, "b/0003.cls", '0', "0", 1);
    set_name_member(tar, "b/0004.jpg");
    set_member(tar, "b/0004.cls", '0', "70000", 5);
    set_name_member(tar, "b/0005.jpg");
    set_member(tar, "b/0005.cls", '0', "-4", 2);
    set_tar_end(tar);
    base_free(path);

    path = test_path(root, "x-{000000..000001}.tar");
    data_source *source = set_open(path, &one);
    ck_assert_str_eq(data_source_layout(source), "wds");
    set_lists(source, "7 7/x-000000/a/0001.JPG\n1 1/x-000000/a/0002\n-1 x-000000/a/0003\n"
                      "0 0/x-000000/b/0003.jpeg\n-1 x-000000/b/0004\n-1 x-000000/b/0005\n"
                      "3 3/x-000001/k/9.png\n");
    ck_assert_uint_eq(data_source_classes(source), 8);
    set_holds(source, 0, "a/0001.JPG");
    set_unreadable(source, 1, "no image part");
    set_unreadable(source, 2, "no label part");
    set_unreadable(source, 4, "label out of range 70000");
    set_unreadable(source, 5, "label out of range");
    set_holds(source, 6, "k/9.png");
    data_source_name(source, 6, name, sizeof name);
    ck_assert_ptr_nonnull(strstr(name, "x-000001.tar!k/9.png"));
    data_source_close(source);
    base_free(path);

    /* The same shards by folder, glob and list; a model with fewer classes. */
    const char *const others[] = {"", "x-*.tar", "x-{000000,000001}.tar"};
    const data_source_options five = {.classes_of_model = 5, .allow_single_class = true};
    for (size_t i = 0; i < 3; i++) {
        path = test_path(root, others[i]);
        source = set_open(path, &five);
        ck_assert_uint_eq(data_source_count(source), 7);
        set_unreadable(source, 0, "label out of range 7");
        ck_assert_int_eq(data_source_label(source, 0), -1);
        data_source_close(source);
        base_free(path);
    }
}
END_TEST

START_TEST(strange_shard_names_are_refused)
{
    char *path = test_path(root, "x-{0000..0001}.tar");

    set_refused(path, &one, BASE_IO, "x-0000.tar'");
    base_free(path);
    path = test_path(root, "x-{a..b}.tar");
    set_refused(path, &one, BASE_USAGE, "'{a..b}' is no range of shards");
    base_free(path);
    path = test_path(root, "x-*.tar");
    set_refused(path, &one, BASE_IO, "no file matches");
    base_free(path);
}
END_TEST

/* Whether two sources give the same samples; bytes of b's sample i are those of a's. */
static void check_same(const data_source *a, const data_source *b)
{
    unsigned char *x = NULL, *y = NULL;
    size_t x_room = 0, y_room = 0, x_size = 0, y_size = 0;

    ck_assert_uint_eq(data_source_count(a), data_source_count(b));
    ck_assert_uint_eq(data_source_fingerprint(a), data_source_fingerprint(b));
    for (size_t i = 0; i < data_source_count(a); i++) {
        ck_assert_int_eq(data_source_read(a, i, &x, &x_room, &x_size, NULL), BASE_OK);
        ck_assert_int_eq(data_source_read(b, i, &y, &y_room, &y_size, NULL), BASE_OK);
        ck_assert_uint_eq(x_size, y_size);
        ck_assert_mem_eq(x, y, x_size);
        ck_assert_int_eq(data_source_label(a, i), data_source_label(b, i));
    }
    base_free(x);
    base_free(y);
}

START_TEST(one_set_has_the_same_numbers_in_every_form)
{
    static const char *const names[] = {"n01440764/b.JPEG", "n01440764/a.JPEG",
                                        "n01443537/10.JPEG", "n01443537/9.JPEG",
                                        "n02119789/x/y.JPEG"};
    static const char *const order[] = {"n01440764/a.JPEG", "n01440764/b.JPEG",
                                        "n01443537/10.JPEG", "n01443537/9.JPEG",
                                        "n02119789/x/y.JPEG"};
    static const char *const labels[] = {"0", "0", "1", "1", "278"};
    char *tree = test_path(root, "tree"), *tar_path, *wds_path, name[64];
    FILE *tar = set_tar_open(&tar_path, root, "x.tar");
    FILE *wds = set_tar_open(&wds_path, root, "wds.tar");
    char *list_path = test_path(root, "list.txt");
    FILE *list = fopen(list_path, "w");

    for (size_t i = 0; i < 5; i++) {
        set_name_file(tree, names[i]);
        set_name_member(tar, names[i]);
        snprintf(name, sizeof name, "%zu.jpg", i);
        set_member(wds, name, '0', order[i], strlen(order[i]));
        snprintf(name, sizeof name, "%zu.cls", i);
        set_member(wds, name, '0', labels[i], strlen(labels[i]));
        fprintf(list, i % 2 ? "x.tar!%s\t%s\n" : "tree/%s\t%s\n", order[i], labels[i]);
    }
    set_tar_end(tar);
    set_tar_end(wds);
    fclose(list);
    data_source *a = set_open(tree, &imagenet);
    const char *const others[] = {tar_path, wds_path, list_path};
    for (size_t i = 0; i < 3; i++) {
        data_source *b = set_open(others[i], &imagenet);
        check_same(a, b);
        data_source_close(b);
    }
    data_source_close(a);
    base_free(tree);
    base_free(tar_path);
    base_free(wds_path);
    base_free(list_path);
}
END_TEST

/* ---- lists, trees ------------------------------------------------------------------- */

START_TEST(a_list_names_its_images_and_labels)
{
    char *path = test_path(root, "list.tsv"), *tar_path, text[900], name[600];
    FILE *tar;

    set_folder(root, "deep");
    tar = set_tar_open(&tar_path, root, "deep/x.tar");
    set_name_member(tar, "in/1.png");
    set_tar_end(tar);
    set_name_file(root, "z.png");
    snprintf(text, sizeof text,
             "# remark\n\nz.png\tzebra\n%s!in/1.png\tape\n%s/z.png\tape\r\n", tar_path,
             root);
    test_write(path, text, strlen(text));
    data_source *source = set_open(path, NULL);
    ck_assert_str_eq(data_source_layout(source), "list");
    set_lists(source, "1 zebra/000000-z.png\n0 ape/000001-1.png\n0 ape/000002-z.png\n");
    set_holds(source, 0, "z.png");
    set_holds(source, 1, "in/1.png");
    set_holds(source, 2, "z.png");
    data_source_name(source, 1, name, sizeof name);
    ck_assert_ptr_nonnull(strstr(name, "deep/x.tar!in/1.png"));
    data_source_close(source);

    test_write(path, "z.png\t4\nz.png\t2\n", 16);
    source = set_open(path, NULL);
    ck_assert_uint_eq(data_source_classes(source), 5);
    ck_assert_int_eq(data_source_label(source, 0), 4);
    data_source_close(source);
    test_write(path, "z.png\n", 6);
    source = set_open(path, &unlabelled);
    ck_assert_int_eq(data_source_label(source, 0), -1);
    data_source_close(source);

    test_write(path, "z.png\t4\nz.png\tape\n", 18);
    set_refused(path, NULL, BASE_FORMAT,
                "line 2: some labels are numbers and some are names");
    test_write(path, "z.png\t4\nz.png\n", 14);
    set_refused(path, NULL, BASE_FORMAT,
                "line 2: no tab with a label after it, as the lines before have: 'z.png'");
    test_write(path, "z.png\t4\nno.png\t5\n", 17);
    set_refused(path, NULL, BASE_IO, "line 2: cannot open 'no.png'");
    snprintf(text, sizeof text, "%s!in/2.png\t1\n", tar_path);
    test_write(path, text, strlen(text));
    set_refused(path, NULL, BASE_FORMAT, "holds no 'in/2.png'");
    base_free(tar_path);
    base_free(path);
}
END_TEST

/* The same files in the same order, one label another. */
START_TEST(a_changed_label_is_other_data)
{
    char *path = test_path(root, "list.tsv");
    uint64_t print[3];

    set_name_file(root, "a.png");
    set_name_file(root, "b.png");
    set_name_file(root, "c.png");
    for (int i = 0; i < 3; i++) {
        set_text("list.tsv", i == 1 ? "a.png\t0\nb.png\t1\nc.png\t0\n"
                                    : "a.png\t0\nb.png\t0\nc.png\t1\n");
        data_source *source = set_open(path, NULL);
        ck_assert_uint_eq(data_source_count(source), 3);
        print[i] = data_source_fingerprint(source);
        data_source_close(source);
    }
    ck_assert_uint_eq(print[0], print[2]);
    ck_assert_uint_ne(print[0], print[1]);
    base_free(path);
}
END_TEST

START_TEST(lists_say_what_a_line_lacks)
{
    static const data_source_options two = {.classes_of_model = 2,
                                            .allow_single_class = true};
    char *path = test_path(root, "list.txt"), *csv = test_path(root, "list.csv");

    set_name_file(root, "b.png");
    set_name_file(root, "#c.png");
    set_text("list.txt", "b.png\t0\n#c.png\t1\n# a remark\n");
    data_source *source = set_open(path, &two);
    set_lists(source, "0 0/000000-b.png\n1 1/000001-#c.png\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "1 line of remarks"));
    data_source_close(source);
    set_text("list.txt", "\xef\xbb\xbf"
                         "b.png\t1\n");
    source = set_open(path, &two);
    set_lists(source, "1 1/000000-b.png\n");
    data_source_close(source);
    set_name_file(root, "\xef\xbb\xbf"
                        "b.png"); /* only the file's first bytes are such a mark */
    set_text("list.txt", "b.png\t1\n\xef\xbb\xbf"
                         "b.png\t0\n");
    source = set_open(path, &two);
    set_holds(source, 0, "b.png");
    set_holds(source, 1,
              "\xef\xbb\xbf"
              "b.png");
    data_source_close(source);
    set_text("list.txt", "b.png\t 1.0 \tdog\n");
    source = set_open(path, &two);
    set_lists(source, "1 1/000000-b.png\n");
    data_source_close(source);
    set_text("list.txt", "b.png\t-1\n");
    set_refused(path, &two, BASE_FORMAT,
                "line 1: the label is a number, but none of a class");
    set_text("list.txt", "b.png 0\n");
    set_refused(path, &two, BASE_FORMAT,
                "line 1: no such file; between a path and its label "
                "stands a tab, and here is none: 'b.png 0'");
    set_text("list.txt", "b.png;0\n");
    char *spec = base_text("list:%s", path);
    set_refused(spec, &two, BASE_FORMAT, "here is none: 'b.png;0'");
    set_text("list.txt", "b.png/a b\n"); /* a folder that is none is another matter */
    set_refused(spec, &two, BASE_IO, "list.txt' line 1: cannot open 'b.png/a b': ");
    base_free(spec);
    set_text("list.csv", "b.png,0\n");
    set_refused(csv, &two, BASE_FORMAT, "here is none: 'b.png,0'");
    set_text("list.txt", "b.png\t0\nb.png 1\n");
    set_refused(path, &two, BASE_FORMAT, "line 2: no tab with a label after it");
    char *archive;
    FILE *tar = set_tar_open(&archive, root, "x.tar");
    set_member(tar, "a", '5', "", 0);
    set_name_member(tar, "a/1.png");
    set_tar_end(tar);
    set_text("list.txt", "x.tar!a/1.png\t0\nx.tar!a\t1\n"); /* a folder is no file */
    set_refused(path, &two, BASE_FORMAT, "x.tar' holds no 'a'");
    base_free(archive);
    test_write(path, "b.png\t0\n#c.png\t1\0\tx\n", 21);
    set_refused(path, &two, BASE_FORMAT, "line 2 has a byte 0");
    test_write(path, "b.png\t0\n#c.png\t1\0", 18);
    set_refused(path, &two, BASE_FORMAT, "line 2 has a byte 0");
    base_free(path);
    base_free(csv);
}
END_TEST

/* One sample of a shard: its image and one other part. */
static void add_pair(FILE *tar, const char *key, const char *part, const char *text)
{
    char name[64];

    snprintf(name, sizeof name, "%s.jpg", key);
    set_name_member(tar, name);
    snprintf(name, sizeof name, "%s.%s", key, part);
    set_member(tar, name, '0', text, strlen(text));
}

/* A shard of two samples with these texts in the part is read as list says. */
static void check_shard(const char *part, const char *first, const char *second,
                        const data_source_options *options, const char *list)
{
    char *path;
    FILE *tar = set_tar_open(&path, root, "x.tar");

    add_pair(tar, "0", part, first);
    add_pair(tar, "1", part, second);
    set_tar_end(tar);
    data_source *source = set_open(path, options);
    ck_assert_str_eq(data_source_layout(source), "wds");
    set_lists(source, list);
    data_source_close(source);
    base_free(path);
}

START_TEST(labels_of_shards_are_numbers_texts_or_names)
{
    static const char *const names[] = {"ant", "bee"};
    const data_source_options two = {.classes_of_model = 2, .allow_single_class = true};
    const data_source_options named = {.class_list = names, .class_list_count = 2};
    const data_source_options key = {
        .classes_of_model = 2, .allow_single_class = true, .label_key = "target"};
    static const char numbers[] = "1 1/x/0.jpg\n0 0/x/1.jpg\n";
    char *path;

    check_shard("cls", "1", " 0\n", &two, numbers);
    check_shard("json", "{\"label\": \"1\"}", "{\"label\": 0}", &two, numbers);
    check_shard("json", "{\"target\": 1, \"label\": 9}", "{\"target\": \"0\"}", &key,
                numbers);
    check_shard("json", "{\"label\": 0, \"label\": 1}", "{\"label\": 0}", &two,
                numbers); /* the last one counts */
    check_shard("cls", "1.0", "0.00\n", &two, numbers);
    check_shard("json", "{\"label\": 1.0}", "{\"label\": 0.0}", &two, numbers);
    check_shard("cls", "bee", "ant\n", &named, "1 bee/x/0.jpg\n0 ant/x/1.jpg\n");
    check_shard("json", "{\"cls\": \"bee\"}", "{\"cls\": \"ant\"}", &named,
                "1 bee/x/0.jpg\n0 ant/x/1.jpg\n");

    FILE *tar = set_tar_open(&path, root, "x.tar");
    add_pair(tar, "22.05.0", "cls", "1");
    add_pair(tar, "22.05.1", "cls", "0");
    set_tar_end(tar);
    data_source *source = set_open(path, &two);
    set_lists(source, "1 1/x/22.05.0.jpg\n0 0/x/22.05.1.jpg\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "keys have dots"));
    data_source_close(source);
    base_free(path);
    tar = set_tar_open(&path, root, "x.tar");
    add_pair(tar, "0", "json", "{\"target\": 1, \"w\": 2}");
    set_tar_end(tar);
    set_refused(path, &two, BASE_FORMAT,
                "no label in 1 samples: looked for a part .cls, or 'label', 'cls' or "
                "'class_id' in a .json; the first sample has the parts .jpg, .json (keys "
                "target, w); --label-key");
    base_free(path);
    tar = set_tar_open(&path, root, "x.tar");
    add_pair(tar, "0", "cls", "1");
    add_pair(tar, "1", "cls", "bee");
    set_tar_end(tar);
    set_refused(path, &two, BASE_FORMAT, "1 labels are numbers and 1 are names");
    base_free(path);
}
END_TEST

START_TEST(a_tree_of_corruptions_lists_its_parts_and_opens_each)
{
    data_imagenet_c *tree = NULL;
    data_source *source = NULL;

    set_name_file(root, "weather/fog/5/n01440764/x.JPEG");
    set_name_file(root, "weather/fog/1/n01440764/x.JPEG");
    set_name_file(root, "noise/gaussian_noise/2/n01443537/y.JPEG");
    set_name_file(root, "own/3/n01443537/y.JPEG");
    set_name_file(root, "also/4/n01443537/y.JPEG");
    set_folder(root, "weather/fog/9"); /* no severity */
    ck_assert_int_eq(data_imagenet_c_open(&tree, root, NULL), BASE_OK);
    ck_assert_uint_eq(data_imagenet_c_count(tree), 5);
    ck_assert_str_eq(data_imagenet_c_corruption(tree, 0), "gaussian_noise");
    ck_assert_str_eq(data_imagenet_c_corruption(tree, 1), "fog");
    ck_assert_int_eq(data_imagenet_c_severity(tree, 1), 1);
    ck_assert_int_eq(data_imagenet_c_severity(tree, 2), 5);
    ck_assert_str_eq(data_imagenet_c_corruption(tree, 3), "also"); /* by name */
    ck_assert_str_eq(data_imagenet_c_corruption(tree, 4), "own");
    ck_assert_int_eq(data_imagenet_c_source(&source, tree, 2, &imagenet, NULL), BASE_OK);
    set_lists(source, "0 n01440764/x.JPEG\n");
    set_holds(source, 0, "weather/fog/5/n01440764/x.JPEG");
    data_source_close(source);
    data_imagenet_c_close(tree);

    source = set_open(root, &imagenet); /* all of it */
    ck_assert_str_eq(data_source_layout(source), "imagenet-c");
    ck_assert_uint_eq(data_source_count(source), 5);
    set_lists(source, "0 weather/fog/1/n01440764/x.JPEG\n0 weather/fog/5/n01440764/x.JPEG\n"
                      "1 noise/gaussian_noise/2/n01443537/y.JPEG\n"
                      "1 also/4/n01443537/y.JPEG\n1 own/3/n01443537/y.JPEG\n");
    set_holds(source, 1, "weather/fog/5/n01440764/x.JPEG");
    data_source_close(source);
    set_folder(root, "nothing");
    char *path = test_path(root, "nothing");
    base_error err = {0};
    ck_assert_int_eq(data_imagenet_c_open(&tree, path, &err), BASE_FORMAT);
    base_free(path);
}
END_TEST

/* ---- class maps --------------------------------------------------------------------- */

START_TEST(a_class_map_decides_the_labels)
{
    static const char *const forms[] = {"folder\tlabel\ncat\t1\ndog\t0\nwolf\t0\n",
                                        "{\"cat\": 1, \"dog\": 0, \"wolf\": 0}",
                                        "\xef\xbb\xbf{\"cat\": 1, \"dog\": 0, \"wolf\": 0}",
                                        "\xef\xbb\xbf"
                                        "dog\t0\r\nwolf\t0\r\ncat\t1",
                                        "# two kinds\ndog\t0\r\nwolf\t0\r\ncat\t1\r\n",
                                        "cat\t1 \ndog\t0\t\r\nwolf\t0 \t \n",
                                        "cat\t1.0\ndog\t0.0\nwolf\t0.00\n"};
    char *map = test_path(root, "map"), *set = test_path(root, "set");
    data_source_options options = {.class_map = map};

    set_name_file(set, "cat/x.png");
    set_name_file(set, "dog/x.png");
    set_name_file(set, "wolf/x.png"); /* the same name, and both stay */
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        set_text("map", forms[i]);
        data_source *source = set_open(set, &options);
        set_lists(source, "0 dog/x.png\n0 wolf/x.png\n1 cat/x.png\n");
        ck_assert_uint_eq(data_source_classes(source), 2);
        ck_assert_str_eq(data_source_class_name(source, 0), "dog");
        set_holds(source, 1, "wolf/x.png");
        data_source_close(source);
    }
    set_text("map", "[\"wolf\", \"dog\", \"cat\"]");
    data_source *source = set_open(set, &options);
    set_lists(source, "0 wolf/x.png\n1 dog/x.png\n2 cat/x.png\n");
    data_source_close(source);
    set_text("map", "{\"4\": [\"wolf\", \"Wolf\"], \"0\": [\"dog\"], \"2\": \"cat\"}");
    source = set_open(set, &options);
    set_lists(source, "0 dog/x.png\n2 cat/x.png\n4 wolf/x.png\n");
    data_source_close(source);

    static const char *const animal[] = {"animal"};
    data_source_options listed = {
        .class_map = map, .class_list = animal, .class_list_count = 1};
    set_text("map", "cat\t0\ndog\t0\nwolf\t1\n");
    set_refused(set, &listed, BASE_MISMATCH,
                "has the label 1, expected 0 to 0: there are 1 classes");
    set_text("map", "cat\t1\ndog\t0\n");
    set_refused(set, &options, BASE_MISMATCH, "has the class 'wolf', which is not in");
    set_text("map", "cat\t1\ndog\tzero\n");
    set_refused(set, &options, BASE_FORMAT, "line 2: 'dog\\x09zero', expected a folder");
    set_text("map", "cat\t-1\ndog\t0\n"); /* no names of columns */
    set_refused(set, &options, BASE_FORMAT, "line 1: 'cat\\x09-1', expected a folder");
    set_text("map", "cat\t1\ncat\t0\n");
    set_refused(set, &options, BASE_FORMAT, "maps 'cat' twice");
    set_text("map", "{\"cat\": 1.5}");
    set_refused(set, &options, BASE_FORMAT, "the value of 'cat'");
    set_text("map", "{\"cat\": 1");
    set_refused(set, &options, BASE_FORMAT, "line 1:");
    set_text("map", "cat\t1\ndog\t0\nwolf\t9\n");
    options.classes_of_model = 3;
    set_refused(set, &options, BASE_MISMATCH, "has the label 9, expected 0 to 2");
    base_free(map);
    base_free(set);
}
END_TEST

START_TEST(a_model_trained_on_numbers_knows_imagenets_ids)
{
    static char text[1000][4];
    const char *list[1000];
    const data_source_options options = {
        .class_list = list, .class_list_count = 1000, .allow_single_class = true};

    for (int i = 0; i < 1000; i++) {
        snprintf(text[i], sizeof text[i], "%d", i);
        list[i] = text[i];
    }
    set_name_file(root, "n02119789/x.png");
    data_source *source = set_open(root, &options);
    ck_assert_int_eq(data_source_label(source, 0), 278);
    data_source_close(source);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_layouts");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, shards_are_samples_of_keys_in_order);
    tcase_add_test(core, one_set_has_the_same_numbers_in_every_form);
    tcase_add_test(core, a_list_names_its_images_and_labels);
    tcase_add_test(core, a_changed_label_is_other_data);
    tcase_add_test(core, lists_say_what_a_line_lacks);
    tcase_add_test(core, labels_of_shards_are_numbers_texts_or_names);
    tcase_add_test(core, a_tree_of_corruptions_lists_its_parts_and_opens_each);
    tcase_add_test(core, a_class_map_decides_the_labels);
    tcase_add_test(core, a_model_trained_on_numbers_knows_imagenets_ids);
    tcase_add_test(limits, strange_shard_names_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
