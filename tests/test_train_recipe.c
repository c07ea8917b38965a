/* test_train_recipe.c - recipes: layers of keys, what is refused and with which line, what
 * survives being written and read again. */
#include "train/train.h"
#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_says.h"

static const train_facts ten_classes = {.classes = 10};
static base_error err;

static train_recipe parsed(const char *text)
{
    train_recipe recipe = train_recipe_defaults();

    err = (base_error){0};
    ck_assert_msg(train_recipe_parse(&recipe, "x.ini", text, strlen(text), &err) == BASE_OK,
                  "%s", err.text);
    return recipe;
}

static void refused(const char *text, const char *words)
{
    train_recipe recipe = train_recipe_defaults();
    const train_recipe before = recipe;

    err = (base_error){0};
    ck_assert_msg(train_recipe_parse(&recipe, "x.ini", text, strlen(text), &err) ==
                      BASE_USAGE,
                  "'%s' was taken", text);
    test_says(err.text, words);
    ck_assert_int_eq(memcmp(&recipe, &before, sizeof recipe), 0);
}

static base_status set(train_recipe *recipe, const char *assignment)
{
    err = (base_error){0};
    return train_recipe_set(recipe, &assignment, 1, &err);
}

static train_recipe resolved(train_recipe recipe, train_facts facts)
{
    err = (base_error){0};
    ck_assert_msg(train_recipe_resolve(&recipe, &facts, &err) == BASE_OK, "%s", err.text);
    return recipe;
}

static void not_resolved(const char *text, const char *words)
{
    train_recipe recipe = parsed(text);

    err = (base_error){0};
    ck_assert_int_eq(train_recipe_resolve(&recipe, &ten_classes, &err), BASE_USAGE);
    test_says(err.text, words);
}

START_TEST(the_size_comes_first_wherever_it_stands)
{
    const train_recipe r = parsed("[model]\nwidth = 120\nsize = vmoe-nano\n");

    ck_assert_int_eq(r.config.width, 120);
    ck_assert_int_eq(r.config.depth, 4);
    ck_assert_str_eq(r.layers, "every:2");
}
END_TEST

/* What a recipe leaves out: a change here changes every recipe that does. */
START_TEST(what_is_left_out_is_as_documented)
{
    static const char *const usual[][2] = {
        {"optimizer.name", "adamw"},
        {"optimizer.lr", "0.001"},
        {"optimizer.beta1", "0.9"},
        {"optimizer.beta2", "0.999"},
        {"optimizer.eps", "1e-08"},
        {"optimizer.momentum", "0.9"},
        {"optimizer.weight_decay", "0.05"},
        {"optimizer.clip", "1"},
        {"optimizer.ema", "0"},
        {"schedule.name", "cosine"},
        {"schedule.warmup_epochs", "1"},
        {"schedule.final", "0"},
        {"schedule.timescale", "10000"},
        {"train.epochs", "10"},
        {"train.batch", "128"},
        {"train.seed", "1"},
        {"train.label_smoothing", "0"},
        {"train.adversarial_steps", "10"},
        {"train.adversarial_beta", "6"},
        {"train.eval_every", "1"},
        {"train.log_every", "50"},
        {"augment.area_low", "0.08"},
        {"augment.area_high", "1"},
        {"augment.padding", "4"},
        {"augment.flip", "0.5"},
        {"augment.corrupt_severity", "1-3"},
        {"data.max_bad", "0.001"},
        {"data.queue", "3"},
        {"data.repeats", "1"},
    };
    const train_recipe r = train_recipe_defaults();
    char value[64];

    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        const base_field *f = base_field_find(train_recipe_keys, usual[i][0]);
        ck_assert_ptr_nonnull(f);
        base_field_text(value, sizeof value, &r, f);
        ck_assert_msg(strcmp(value, usual[i][1]) == 0, "%s is %s", usual[i][0], value);
    }
    ck_assert_double_eq_tol(r.adversary.eps, 8.0 / 255, 1e-15);
}
END_TEST

START_TEST(experts_follow_a_changed_depth)
{
    const train_recipe r =
        resolved(parsed("[model]\nsize = vmoe-nano\ndepth = 8\n"), ten_classes);

    ck_assert(r.config.moe.layer[7] && !r.config.moe.layer[6]);
}
END_TEST

/* By epochs, by parts of one, by steps; a layer above decides anew. */
START_TEST(evaluations_are_asked_for_by_epochs_or_steps)
{
    train_recipe r = parsed("[train]\neval_every = 0.25\n");

    ck_assert_double_eq(r.train.eval_every, 0.25);
    ck_assert_int_eq(r.train.eval_steps, 0);
    r = parsed("[train]\neval_every = 200 steps\n");
    ck_assert_int_eq(r.train.eval_steps, 200);
    ck_assert_int_eq(set(&r, "train.eval_every=30steps"), BASE_OK);
    ck_assert_int_eq(r.train.eval_steps, 30);
    ck_assert_int_eq(set(&r, "train.eval_every=2"), BASE_OK);
    ck_assert_int_eq(r.train.eval_steps, 0);
    ck_assert_double_eq(r.train.eval_every, 2);
    r = parsed("[train]\neval_every = 2\neval_steps = 7\n"); /* as it is written */
    ck_assert_int_eq(r.train.eval_steps, 7);
    ck_assert_int_eq(set(&r, "train.eval_every=steps"), BASE_USAGE);
    ck_assert_int_eq(set(&r, "train.eval_every=-1"), BASE_USAGE);
}
END_TEST

START_TEST(what_is_frozen_is_counted_in_layers)
{
    static const struct {
        const char *text;
        int layers;
    } cases[] = {{"none", 0}, {"embedding", 1}, {"3", 4}, {"trunk", 5}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_recipe r = parsed("[model]\nsize = vmoe-nano\n");
        snprintf(r.freeze, sizeof r.freeze, "%s", cases[i].text);
        ck_assert_int_eq(resolved(r, ten_classes).optimizer.frozen, cases[i].layers);
    }
    not_resolved(
        "[model]\nsize = vmoe-nano\n[optimizer]\nfreeze = 4\n",
        "recipe 'defaults': 'optimizer.freeze' is '4', expected none, embedding, trunk or "
        "a number of blocks below 4");
    not_resolved(
        "[optimizer]\nfreeze = head\n",
        "recipe 'defaults': 'optimizer.freeze' is 'head', expected none, embedding, trunk "
        "or a number of blocks below 12");
}
END_TEST

START_TEST(options_of_the_router_stand_beside_its_name)
{
    const train_recipe r = parsed("[router]\np = 0.25\nname = ssr\ncost = softmax\n");
    char value[32];

    ck_assert_str_eq(vit_router_get(&r.config.moe.router, "p", value, sizeof value),
                     "0.25");
    ck_assert_str_eq(vit_router_get(&r.config.moe.router, "cost", value, sizeof value),
                     "softmax");
}
END_TEST

START_TEST(another_router_by_set_drops_the_options_of_the_first)
{
    train_recipe r = parsed("[router]\nname = ssr\np = 0.25\n");

    ck_assert_int_eq(set(&r, "router.name=softmax"), BASE_OK);
    ck_assert_str_eq(r.config.moe.router.name, "softmax");
    ck_assert_int_eq(set(&r, "router.p=0.5"), BASE_USAGE);
    ck_assert_int_eq(set(&r, "router.balance=0.02"), BASE_OK);
}
END_TEST

/* A recipe's k is of its own router: with soft on top of it, it says nothing, beside soft
 * it is refused. */
START_TEST(a_router_without_k_is_given_none)
{
    char *dir = test_folder_make(), *path = test_path(dir, "recipe.ini");
    train_recipe r = parsed("[router]\nname = ssr\nk = 3\n");

    refused("[router]\nname = soft\nk = 2\n",
            "'x.ini' line 3: 'router.k' says nothing to the router 'soft', in which every "
            "expert works for every token: leave it out");
    ck_assert_int_eq(set(&r, "router.name=soft"), BASE_OK);
    ck_assert_int_eq(set(&r, "moe.shared=1"), BASE_OK);
    ck_assert_int_eq(set(&r, "router.k=2"), BASE_USAGE);
    r = resolved(r, ten_classes);
    ck_assert_msg(train_recipe_save(&r, path, &err) == BASE_OK, "%s", err.text);
    train_recipe again = train_recipe_defaults();
    ck_assert_msg(train_recipe_load(&again, path, &err) == BASE_OK, "%s", err.text);
    again = resolved(again, ten_classes);
    ck_assert_int_eq(again.config.moe.shared, 1);
    char *text = train_recipe_fixed_text(&r);
    ck_assert_msg(train_recipe_compare(&again, text, true, &err) == BASE_OK, "%s",
                  err.text);
    base_free(text);
    base_free(path);
    test_folder_remove(dir);
}
END_TEST

START_TEST(ranks_decide_parts_and_lanes_that_are_left_open)
{
    train_facts facts = ten_classes;
    train_recipe r = resolved(parsed(""), facts);

    ck_assert_int_eq(r.train.accumulate, 1);
    ck_assert_int_eq(r.train.lanes, 1);
    facts.ranks = 4;
    r = resolved(parsed(""), facts);
    ck_assert_int_eq(r.train.accumulate, 4);
    ck_assert_int_eq(r.train.lanes, 4);
    ck_assert_int_eq(r.train.eval_batch, 32);
    r = resolved(parsed("[train]\naccumulate = 8\nlanes = 2\n"), facts);
    ck_assert_int_eq(r.train.accumulate, 8);
    ck_assert_int_eq(r.train.lanes, 2);
    facts.ranks = 3;
    r = parsed("[train]\nbatch = 96\naccumulate = 4\n");
    ck_assert_int_eq(train_recipe_resolve(&r, &facts, &err), BASE_USAGE);
    test_says(
        err.text,
        "recipe 'defaults': 3 ranks for a step of 4 parts, expected a number of ranks that "
        "divides 'train.accumulate'; --set train.accumulate=3 makes parts of 32 images, "
        "whose routing statistics are those of 32 images");
    not_resolved(
        "[train]\naccumulate = 4\nlanes = 8\n",
        "recipe 'defaults': 'train.lanes' is 8, expected a divisor of train.accumulate (4)");
}
END_TEST

/* What runs stored that knew of no lanes is a run of one. */
START_TEST(a_run_without_lanes_has_one)
{
    train_recipe r = resolved(parsed("[train]\naccumulate = 4\n"), ten_classes);
    char *stored = train_recipe_fixed_text(&r);

    ck_assert_ptr_nonnull(stored);
    char *lanes = strstr(stored, "train.lanes = 1\n");
    ck_assert_ptr_nonnull(lanes);
    const size_t line = strlen("train.lanes = 1\n");
    memmove(lanes, lanes + line, strlen(lanes + line) + 1);
    ck_assert_int_eq(train_recipe_compare(&r, stored, false, &err), BASE_OK);
    r.train.lanes = 2;
    ck_assert_int_eq(train_recipe_compare(&r, stored, false, &err), BASE_MISMATCH);
    test_says(err.text, "'train.lanes' was '1' when the run began and is '2' now");
    base_free(stored);
}
END_TEST

START_TEST(the_data_decides_what_is_left_open)
{
    train_recipe r = resolved(parsed("[model]\nsize = vmoe-nano\n[data]\nimage = 28\n"),
                              (train_facts){.classes = 7, .uniform_channels = 1});

    ck_assert_int_eq(r.config.classes, 7);
    ck_assert_int_eq(r.config.channels, 1);
    ck_assert_int_eq(r.config.resize, 28);
    ck_assert_int_eq(r.augment.crop, DATA_CROP_PADDED);
    r = resolved(parsed(""), ten_classes);
    ck_assert_int_eq(r.config.channels, 3);
    ck_assert_int_eq(r.config.resize, 256);
    ck_assert_int_eq(r.augment.crop, DATA_CROP_RANDOM);
}
END_TEST

START_TEST(pixels_go_by_name_or_by_number)
{
    train_recipe r = resolved(parsed("[data]\nmean = half\nstd = 0.25\n"), ten_classes);

    ck_assert(r.config.mean[2] == 0.5f);
    ck_assert(r.config.std[1] == 0.25f);
    r = resolved(parsed("[data]\nmean = 0.1, 0.2, 0.3\nstd = imagenet\n"), ten_classes);
    ck_assert(r.config.mean[1] == 0.2f);
    ck_assert(r.config.std[2] == 0.225f);
}
END_TEST

START_TEST(the_written_recipe_reads_back_the_same)
{
    char *dir = test_folder_make(), *path = test_path(dir, "recipe.ini");
    train_recipe r =
        parsed("[model]\nsize = vmoe-micro\n[router]\nname = vmoe\nnoise = 0.3\n"
               "capacity = 1.05\n[optimizer]\nlr = 0.1\nbeta2 = 0.95\n"
               "[data]\ntrain = tar:a b.tar\nimage = 64\n");
    r.lr = 1.0 / 3;
    r = resolved(r, ten_classes);
    ck_assert_msg(train_recipe_save(&r, path, &err) == BASE_OK, "%s", err.text);

    train_recipe again = train_recipe_defaults();
    ck_assert_msg(train_recipe_load(&again, path, &err) == BASE_OK, "%s", err.text);
    again = resolved(again, ten_classes);
    ck_assert_double_eq(again.lr, r.lr);
    ck_assert_str_eq(again.data.train, "tar:a b.tar");
    ck_assert_int_eq(memcmp(&again.config, &r.config, sizeof r.config), 0);
    char *one = train_recipe_fixed_text(&r), *two = train_recipe_fixed_text(&again);
    ck_assert_str_eq(one, two);
    base_free(one);
    base_free(two);
    base_free(path);
    test_folder_remove(dir);
}
END_TEST

START_TEST(comments_blanks_and_line_ends_of_windows_are_borne)
{
    const train_recipe r = parsed("; a recipe\r\n# of two keys\r\n\r\n  [optimizer]\r\n"
                                  "   lr = 0.5 ; high\r\n\t clip=2\r\n");

    ck_assert_double_eq(r.lr, 0.5);
    ck_assert_double_eq(r.optimizer.clip, 2);
}
END_TEST

START_TEST(a_recipe_is_found_by_name)
{
    train_recipe r = train_recipe_defaults();

    ck_assert_msg(train_recipe_load(&r, "quickstart", &err) == BASE_OK, "%s", err.text);
    ck_assert_str_eq(r.config.moe.router.name, "ssr");
    ck_assert_int_eq(train_recipe_load(&r, "quickstrat", &err), BASE_USAGE);
    test_says(err.text, "no recipe is named 'quickstrat', the nearest is 'quickstart'");
    ck_assert_int_eq(train_recipe_load(&r, "no/such.ini", &err), BASE_USAGE);
    test_says(err.text, "cannot read the recipe 'no/such.ini': No such file or directory");
}
END_TEST

START_TEST(every_recipe_of_ours_resolves)
{
    static const char *const names[] = {"quickstart",
                                        "fashion-mnist",
                                        "cifar10",
                                        "tiny-imagenet",
                                        "imagenet-vmoe-ti16",
                                        "imagenet-vmoe-s32",
                                        "imagenet-vmoe-s16",
                                        "imagenet21k-vmoe-b16",
                                        "vmoe-ft-ilsvrc2012",
                                        "vmoe-ft-cifar10",
                                        "finetune",
                                        "finetune-probe",
                                        "finetune-vmoe",
                                        "finetune-upcycle"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        train_recipe r = train_recipe_defaults();
        ck_assert_msg(train_recipe_load(&r, names[i], &err) == BASE_OK, "%s", err.text);
        r = resolved(r, ten_classes);
        ck_assert(vit_config_is_sparse(&r.config));
    }
}
END_TEST

START_TEST(a_changed_key_is_named_with_both_values)
{
    train_recipe r = resolved(parsed(""), ten_classes);
    char *stored = train_recipe_fixed_text(&r);

    ck_assert_int_eq(train_recipe_compare(&r, stored, false, &err), BASE_OK);
    ck_assert_int_eq(set(&r, "optimizer.lr=0.5"), BASE_OK);
    ck_assert_int_eq(train_recipe_compare(&r, stored, false, &err), BASE_MISMATCH);
    ck_assert_str_eq(err.text,
                     "'optimizer.lr' was '0.001' when the run began and is '0.5' now");
    ck_assert_int_eq(set(&r, "optimizer.lr=0.001"), BASE_OK);
    ck_assert_int_eq(set(&r, "train.log_every=7"), BASE_OK);
    ck_assert_int_eq(set(&r, "data.workers=3"), BASE_OK);
    ck_assert_int_eq(train_recipe_compare(&r, stored, false, &err), BASE_OK);
    ck_assert_int_eq(set(&r, "router.p=0.5"), BASE_OK);
    ck_assert_int_eq(train_recipe_compare(&r, stored, false, &err), BASE_MISMATCH);
    test_says(err.text, "'router.p' was '0.001' when the run began and is '0.5' now");
    base_free(stored);
}
END_TEST

START_TEST(an_unknown_key_is_refused_with_line_and_nearest)
{
    refused("[model]\nwidht = 96\n",
            "'x.ini' line 2: unknown key 'model.widht', the nearest is 'model.width'");
    refused("\n\n[train]\nlr = 0.1\n",
            "'x.ini' line 4: unknown key 'train.lr', the nearest is 'optimizer.lr'");
    refused("[routr]\nk = 1\n",
            "'x.ini' line 2: unknown key 'routr.k', the nearest is 'router.k'");
    refused(
        "[train]\nimage_size = 32\n",
        "'x.ini' line 2: unknown key 'train.image_size', the nearest is 'data.image'"); /* by meaning */
    refused(
        "[router]\nname = softmax\nxi = 0.1\n",
        "'x.ini' line 3: 'router.xi' is no key of the router 'softmax', but of sinkhorn, "
        "ssr, sinkhorn-ot");
    refused("lr = 1\n", "'x.ini' line 1: unknown key '.lr', the nearest is 'optimizer.lr'");
}
END_TEST

START_TEST(a_wrong_value_is_refused_with_what_was_expected)
{
    refused("[model]\ndepth = ten\n",
            "'x.ini' line 2: 'model.depth' is 'ten', expected a whole number from 1 to 64");
    refused("[model]\ndepth = 65\n",
            "'x.ini' line 2: 'model.depth' is '65', expected a whole number from 1 to 64");
    refused("[optimizer]\nlr = nan\n",
            "'x.ini' line 2: 'optimizer.lr' is 'nan', expected a number from 0 to 1000");
    refused("[optimizer]\nlr =\n",
            "'x.ini' line 2: 'optimizer.lr' is '', expected a number from 0 to 1000");
    refused("[model]\npool = mean\n",
            "'x.ini' line 2: 'model.pool' is 'mean', expected one of token|gap|patches");
    refused("[router]\nbpr = maybe\n",
            "'x.ini' line 2: 'router.bpr' is 'maybe', expected true or false");
    refused(
        "[router]\nname = srs\n",
        "'x.ini' line 2: router.name 'srs' is not one of softmax, vmoe, sinkhorn, ssr, "
        "momentum, adam, robust-momentum, sinkhorn-ot, usmoe, expert-choice, similarity, "
        "attention, s2moe, xmoe, loss-free, quantile, random, hash, soft, acmoe");
    refused("[model]\nsize = vmoe-nana\n",
            "'x.ini' line 2: no network is named 'vmoe-nana', did you mean 'vmoe-nano'");
    refused(
        "[router]\ngate = renorm\n",
        "'x.ini' line 2: 'router.gate' is no key of the router 'ssr', but of softmax, "
        "sinkhorn, momentum, adam, robust-momentum, similarity, attention, s2moe, xmoe, "
        "loss-free, quantile, random, acmoe");
    refused("[router]\np = 2\n",
            "'x.ini' line 2: router.p '2' is not a number from 0 to 1");
}
END_TEST

START_TEST(a_broken_line_is_refused_with_its_number)
{
    char longer[1024] = "[model]\nsize = ";

    refused("[model]\nwidth 96\n",
            "'x.ini' line 2 is neither '[section]' nor 'key = value'");
    refused("[model\nwidth = 96\n",
            "'x.ini' line 1 is neither '[section]' nor 'key = value'");
    refused("[model]\nwidth = 96\nwidth = 192\n",
            "'x.ini' line 3 sets 'model.width' again, it was set in line 2");
    memset(longer + strlen(longer), 'a', 900);
    refused(longer, "~'x.ini' line 2 has 907 characters, expected at most ");
}
END_TEST

START_TEST(a_zero_byte_is_refused)
{
    train_recipe r = train_recipe_defaults();

    ck_assert_int_eq(train_recipe_parse(&r, "x.ini", "[model]\n\0depth = 3\n", 19, &err),
                     BASE_USAGE);
    test_says(err.text, "'x.ini' line 2 holds a zero byte, expected text");
}
END_TEST

START_TEST(a_malformed_assignment_is_refused)
{
    train_recipe r = train_recipe_defaults();

    ck_assert_int_eq(set(&r, "lr=0.1"), BASE_USAGE);
    ck_assert_int_eq(set(&r, "optimizer.lr"), BASE_USAGE);
    test_says(err.text, "--set 'optimizer.lr' is not of the form section.key=value");
    ck_assert_int_eq(set(&r, ".lr=1"), BASE_USAGE);
    ck_assert_int_eq(set(&r, "optimizer.lr=2=3"), BASE_USAGE);
    ck_assert_int_eq(set(&r, "optimizer.lr=0.25"), BASE_OK);
    ck_assert_double_eq(r.lr, 0.25);
    ck_assert_int_eq(set(&r, "moe.layers=last:2"), BASE_OK);
    ck_assert_str_eq(r.layers, "last:2");
}
END_TEST

START_TEST(impossible_combinations_name_the_key)
{
    not_resolved(
        "[model]\nwidth = 100\nheads = 3\n",
        "recipe 'defaults': 'model.width' is 100, expected a multiple of heads (3)");
    not_resolved("[data]\nimage = 30\n[model]\nsize = vmoe-nano\n",
                 "recipe 'defaults': 'data.image' is 30, expected a multiple of patch (4)");
    not_resolved(
        "[router]\nk = 9\nexperts = 8\n",
        "recipe 'defaults': 'router.k' is 9, expected 1 to the number of experts (8)");
    not_resolved(
        "[router]\nlayers = 1,99\n",
        "recipe 'defaults': 'router.layers' is '1,99', expected none, every:N with N from "
        "1 to 12, last:N with N from 1 to 6, or blocks from 0 to 11 as in 1,3,5");
    not_resolved(
        "[train]\nbatch = 100\naccumulate = 3\n",
        "recipe 'defaults': 'train.accumulate' is 3, expected a divisor of train.batch "
        "(100)");
    not_resolved(
        "[data]\nmean = 0.5,0.5\n",
        "recipe 'defaults': 'data.mean' is '0.5,0.5', expected imagenet, half, cifar10, "
        "fashion-mnist or 3 numbers");
    not_resolved(
        "[data]\nmean = 0.5 0.4\n",
        "recipe 'defaults': 'data.mean' is '0.5 0.4', expected imagenet, half, cifar10, "
        "fashion-mnist or 3 numbers");
    not_resolved(
        "[data]\nmean = 0.5,x\n",
        "recipe 'defaults': 'data.mean' is '0.5,x', expected imagenet, half, cifar10, "
        "fashion-mnist or 3 numbers");
    not_resolved("[data]\nstd = 0\n",
                 "recipe 'defaults': 'data.std' is '0', expected imagenet, half, cifar10, "
                 "fashion-mnist or 3 numbers above 0");
    not_resolved("[model]\nclasses = 1\n",
                 "recipe 'defaults': 'model.classes' is 1, expected at least 2 to train");
    not_resolved(
        "[router]\nname = softmax\nk = 1\ngate = renorm\n",
        "recipe 'defaults': 'router.gate' is renorm with router.k 1 (every gate would be 1 "
        "and the router would learn nothing), expected auto or prob, or router.k 2 or more");
}
END_TEST

START_TEST(a_network_of_other_measures_has_not_the_name)
{
    static const char *const others[] = {"width = 120\n", "depth = 5\n", "patch = 8\n",
                                         "mlp = 96\n", "[router]\nlayers = none\n"};
    vit_config config;
    train_recipe r =
        resolved(parsed("[model]\nsize = vmoe-nano\npool = gap\n[router]\nexperts = 4\n"),
                 ten_classes);

    train_recipe_network(&config, &r);
    ck_assert_str_eq(config.name, "vmoe-nano");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char *text = base_text("[model]\nsize = vmoe-nano\n%s", others[i]);
        r = resolved(parsed(text), ten_classes);
        train_recipe_network(&config, &r);
        ck_assert_str_eq(config.name, "");
        ck_assert_str_eq(r.config.name, "vmoe-nano"); /* what the recipe is built on */
        base_free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_recipe");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, the_size_comes_first_wherever_it_stands);
    tcase_add_test(core, what_is_left_out_is_as_documented);
    tcase_add_test(core, experts_follow_a_changed_depth);
    tcase_add_test(core, a_network_of_other_measures_has_not_the_name);
    tcase_add_test(core, evaluations_are_asked_for_by_epochs_or_steps);
    tcase_add_test(core, what_is_frozen_is_counted_in_layers);
    tcase_add_test(core, options_of_the_router_stand_beside_its_name);
    tcase_add_test(core, another_router_by_set_drops_the_options_of_the_first);
    tcase_add_test(core, a_router_without_k_is_given_none);
    tcase_add_test(core, the_data_decides_what_is_left_open);
    tcase_add_test(core, pixels_go_by_name_or_by_number);
    tcase_add_test(core, the_written_recipe_reads_back_the_same);
    tcase_add_test(core, comments_blanks_and_line_ends_of_windows_are_borne);
    tcase_add_test(core, a_recipe_is_found_by_name);
    tcase_add_test(core, every_recipe_of_ours_resolves);
    tcase_add_test(core, ranks_decide_parts_and_lanes_that_are_left_open);
    tcase_add_test(core, a_run_without_lanes_has_one);
    tcase_add_test(core, a_changed_key_is_named_with_both_values);
    suite_add_tcase(suite, core);
    tcase_add_test(limits, an_unknown_key_is_refused_with_line_and_nearest);
    tcase_add_test(limits, a_wrong_value_is_refused_with_what_was_expected);
    tcase_add_test(limits, a_broken_line_is_refused_with_its_number);
    tcase_add_test(limits, a_zero_byte_is_refused);
    tcase_add_test(limits, a_malformed_assignment_is_refused);
    tcase_add_test(limits, impossible_combinations_name_the_key);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
