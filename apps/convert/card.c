/* card.c - the model card of a folder of the Hub: README.md with YAML in front, made of the
 * network and of the documents of its run (documents.c). What no document says is "not
 * measured"; nothing is guessed. Paths of the machine that trained stay there: the card has
 * their last parts. Free to change: the words. Relied on elsewhere: keys of the front
 * matter (huggingface.co/docs/hub/model-cards). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/convert/internal.h"
#include "apps/network_internal.h"

/* One card while it is written. */
typedef struct card {
    FILE *out;
    const vit_model *model;
    const vit_config *config;
    const convert_documents *documents;
    const char *name; /* of the network */
    bool timm;        /* config.json has timm's form */
} card;

/* ---- text ---------------------------------------------------------------------------- */

/* text as it stands in Markdown: on one line, nothing that ends a cell; NULL: nothing. */
static void put_text(const card *c, const char *text)
{
    char quoted[1024];

    base_quote(quoted, sizeof quoted, text ? text : "");
    for (const char *at = quoted; *at; at++) {
        if (strchr("|`<>*_[]\\", *at))
            fputc('\\', c->out);
        fputc(*at, c->out);
    }
}

/* text with the values of json in it ({path}, show.h); nothing when one is not there. */
static void put_values(const card *c, const json_t *json, const char *text)
{
    char *filled = show_text(json, text);

    fputs(filled ? filled : "", c->out);
    base_free(filled);
}

/* "cifar10" of ".../cifar10/test.tar": the last part without its ending, or the one before
 * where that says which half it is. */
static void data_name(char *out, size_t out_bytes, const char *path)
{
    static const char *const halves[] = {"train", "val",        "test", "training",
                                         "valid", "validation", "eval", "images"};
    const char *colon = strchr(path, ':');
    char text[1024];

    snprintf(text, sizeof text, "%s", colon && colon < path + 8 ? colon + 1 : path);
    snprintf(out, out_bytes, "%s", "");
    for (int part = 0; part < 2; part++) {
        bool half = false;
        for (size_t end = strlen(text); end > 1 && text[end - 1] == '/';)
            text[--end] = '\0';
        char *slash = strrchr(text, '/');
        const char *last = slash ? slash + 1 : text;
        const size_t length = strcspn(last, ".");

        for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++)
            half = half ||
                   (strlen(halves[i]) == length && strncmp(last, halves[i], length) == 0);
        if (part == 0 || length > 0)
            base_quote(out, out_bytes, last);
        if (strcspn(out, ".") > 0)
            out[strcspn(out, ".")] = '\0';
        if (!half || !slash)
            return;
        *slash = '\0';
    }
}

/* ---- front matter -------------------------------------------------------------------- */

/* A value that YAML cannot misread: as JSON, which it contains. */
static void put_yaml(const card *c, const char *text)
{
    json_t *json = show_json_text(text);
    char *quoted = json_dumps(json, JSON_ENCODE_ANY);

    fprintf(c->out, "%s\n", quoted ? quoted : "\"\"");
    free(quoted); /* jansson's, from malloc */
    json_decref(json);
}

static void front_put(const card *c, const char *license)
{
    const char *train = show_json_string(c->documents->recipe, "data.train");
    char name[128];

    fprintf(c->out,
            "---\nlibrary_name: %s\npipeline_tag: image-classification\ntags:\n"
            "- image-classification\n- vision-transformer\n- vmoe\n",
            c->timm ? "timm" : "vmoe");
    if (c->timm)
        fputs("- timm\n", c->out);
    if (vit_config_is_sparse(c->config))
        fputs("- mixture-of-experts\n", c->out);
    if (train) {
        data_name(name, sizeof name, train);
        fputs("datasets:\n- ", c->out);
        put_yaml(c, name);
    }
    fputs("metrics:\n- accuracy\n", c->out);
    if (license) {
        fputs("license: ", c->out);
        put_yaml(c, license);
    }
    fputs("---\n\n", c->out);
}

/* ---- the network --------------------------------------------------------------------- */

static void network_put(const card *c)
{
    const vit_config *v = c->config;
    char all[32], active[32];
    size_t blocks[VIT_DEPTH_MAX];

    fprintf(c->out, "## Network\n\n| | |\n|---|---|\n");
    fprintf(c->out, "| input | %d x %d pixels, %d channel%s, patches of %d |\n", v->image,
            v->image, v->channels, v->channels == 1 ? "" : "s", v->patch);
    fprintf(c->out, "| blocks | %d, width %d, %d heads, MLP %d |\n", v->depth, v->width,
            v->heads, v->mlp);
    if (vit_config_is_sparse(v)) {
        fprintf(c->out, "| experts | %d in %zu of %d blocks, router %s", v->moe.experts,
                app_network_blocks(blocks, v), v->depth, v->moe.router.name);
        if (vit_router_uses_k(v->moe.router.name))
            fprintf(c->out, ", %d a token", vit_config_eval_k(v));
        if (v->moe.shared > 0)
            fprintf(c->out, ", %d shared", v->moe.shared);
        fprintf(c->out, " |\n| capacity in evaluation | %g%s |\n", v->moe.eval_capacity,
                v->moe.eval_capacity > 0 ? "" : " (nothing is dropped)");
    }
    fprintf(c->out, "| classes | %d%s |\n", v->classes,
            vit_model_label(c->model, 0) ? ", names in config.json" : "");
    fprintf(c->out, "| parameters | %s, a token meets %s |\n",
            show_thousands(all, sizeof all, vit_model_floats(c->model)),
            show_thousands(active, sizeof active, vit_model_active_floats(c->model)));
    fprintf(c->out,
            "| operations of an image | %.4g GFLOP (a multiply and an add are two) |\n",
            vit_model_flops(c->model) / 1e9);
    fputs("| pixels | (x / 255 - mean) / std, mean ", c->out);
    for (int i = 0; i < v->channels; i++)
        fprintf(c->out, "%s%.7g", i ? ", " : "", (double)v->mean[i]);
    fputs(", std ", c->out);
    for (int i = 0; i < v->channels; i++)
        fprintf(c->out, "%s%.7g", i ? ", " : "", (double)v->std[i]);
    if (v->resize == 0)
        fprintf(c->out, "; pictures of %d x %d as they are |\n", v->crop, v->crop);
    else
        fprintf(c->out, "; %s to %d (%s), centre crop %d |\n",
                v->crop_mode == VIT_CROP_SQUASH ? "both sides" : "shorter side", v->resize,
                v->interpolation, v->crop);
    fputc('\n', c->out);
}

static void use_put(const card *c)
{
    fputs("## Use\n\n", c->out);
    if (c->timm)
        fprintf(
            c->out,
            "    import timm\n"
            "    model = timm.create_model(\"hf-hub:USER/%s\", pretrained=True).eval()\n"
            "    # or \"local-dir:FOLDER\"; "
            "timm.data.resolve_model_data_config(model) has the preprocessing\n\n",
            c->name);
    fputs("    vmoe predict FOLDER picture.jpg\n\n", c->out);
    if (!c->timm)
        fputs("timm has no network of this kind: `config.json` is vmoe's own, the tensors "
              "are named in its `vit/MODEL.md`.\n\n",
              c->out);
}

/* ---- training ------------------------------------------------------------------------ */

/* What the recipe says, a row each. */
static void recipe_rows(const card *c)
{
    static const struct {
        const char *title, *key;
        bool data; /* the value is DATA, which is called by its name */
    } rows[] = {{"training data", "data.train", true},
                {"training images (0: all)", "data.limit"},
                {"validation data", "data.val", true},
                {"batch", "train.batch"},
                {"epochs", "train.epochs"},
                {"most steps (0: by epochs)", "train.max_steps"},
                {"optimiser", "optimizer.name"},
                {"learning rate", "optimizer.lr"},
                {"weight decay", "optimizer.weight_decay"},
                {"schedule", "schedule.name"},
                {"adversarial training", "train.adversarial"},
                {"precision", "train.precision"},
                {"seed", "train.seed"}};
    char name[128];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *value = show_json_string(c->documents->recipe, rows[i].key);

        if (!value)
            continue;
        if (rows[i].data)
            data_name(name, sizeof name, value);
        fprintf(c->out, "| %s | ", rows[i].title);
        put_text(c, rows[i].data ? name : value);
        fputs(" |\n", c->out);
    }
}

/* An evaluation in the course of training, from metrics.jsonl. */
static void evaluation_put(const card *c, const char *title, const train_line *line)
{
    static const char *const keys[] = {"step", "epoch", "accuracy", "loss", "images"};
    static const int columns[] = {TRAIN_LINE_STEP, TRAIN_LINE_EPOCH, TRAIN_LINE_ACCURACY,
                                  TRAIN_LINE_LOSS, TRAIN_LINE_IMAGES};
    json_t *json = json_object();

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        show_put_real(json, keys[i], line->at[columns[i]]);
    fprintf(c->out, "| %s | ", title);
    put_values(c, json,
               "step {step:.0|-}, epoch {epoch:.|-}: top-1 {accuracy:%|not measured}, loss "
               "{loss:.|not measured} ({images:.0|-} images) |\n");
    json_decref(json);
}

static void training_put(const card *c)
{
    const train_lines *e = &c->documents->evaluations;
    const train_line *best = NULL;

    fputs("## Data and training\n\n", c->out);
    if (!c->documents->recipe) {
        fputs("Not known: no recipe of a run lies beside the checkpoint.\n\n", c->out);
        return;
    }
    fputs("| | |\n|---|---|\n", c->out);
    recipe_rows(c);
    for (size_t i = 0; i < e->count; i++)
        best = e->line[i].at[TRAIN_LINE_BEST] > 0 ? &e->line[i] : best;
    if (best)
        evaluation_put(c, "best evaluation", best);
    if (e->count > 0)
        evaluation_put(c, "last evaluation", &e->line[e->count - 1]);
    fputs("\n<details><summary>The whole recipe</summary>\n\n", c->out);
    convert_recipe_put(c->out, c->documents);
    fputs("\n</details>\n\n", c->out);
}

/* ---- what was measured --------------------------------------------------------------- */

static void data_cell(const card *c, const convert_document *d, const char *path)
{
    const char *value = show_json_string(d->json, path);
    char name[128];

    data_name(name, sizeof name, value ? value : "");
    fputs("| ", c->out);
    put_text(c, name);
    if (d->other) {
        fputs(" (of another checkpoint, ", c->out);
        put_text(c, d->other);
        fputs(")", c->out);
    }
    if (json_is_false(json_object_get(d->json, "complete")))
        fputs(" (stopped early)", c->out);
    fputs(" | ", c->out);
}

static void accuracy_put(const card *c, const convert_document *d)
{
    data_cell(c, d, "data");
    put_values(c, d->json, "{samples:.0|-} | {top1:%|not measured}");
    put_values(c, d->json, " ({top1_interval[0]:p1} to {top1_interval[1]:p1})");
    put_values(c, d->json,
               " | {top5:%|not measured} | {loss:.|not measured} | "
               "{ece:.|not measured} | {seed:.0|-} |\n");
}

/* Sentences as a list, and an empty line. */
static void facts_put(const card *c, const json_t *facts)
{
    const json_t *one;
    size_t i;

    json_array_foreach(facts, i, one)
    {
        fputs("- ", c->out);
        put_text(c, json_string_value(one));
        fputc('\n', c->out);
    }
    fputc('\n', c->out);
}

/* Severities that were measured, as "1 2 3". */
static void severities_put(const card *c, const json_t *list)
{
    const char *blank = "";
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        if (!isfinite(show_json_number(one, "error")))
            continue;
        fprintf(c->out, "%s%.0f", blank, show_json_number(one, "severity"));
        blank = " ";
    }
}

static void corruption_put(const card *c, const convert_document *d)
{
    const json_t *facts = show_json_find(d->json, "robust.facts"), *one;
    size_t i;

    fputs("| data | images | mCE | mean error |\n|---|---|---|---|\n", c->out);
    data_cell(c, d, "data");
    put_values(c, d->json,
               "{samples:.0|-} | {robust.mce:%|not measured} | "
               "{robust.mean_error:%|not measured} |\n\n"
               "| corruption | severities | top-1 error |\n|---|---|---|\n");
    json_array_foreach(show_json_find(d->json, "robust.corruptions"), i, one)
    {
        fputs("| ", c->out);
        put_text(c, show_json_string(one, "title"));
        fputs(" | ", c->out);
        severities_put(c, show_json_find(one, "severities"));
        put_values(c, one, " | {error:%|not measured} |\n");
    }
    fputs(json_array_size(facts) > 0 ? "\n" : "", c->out);
    facts_put(c, facts);
}

static void attack_rows(const card *c, const convert_document *d)
{
    const json_t *budget, *attack;
    size_t i, j;

    json_array_foreach(show_json_find(d->json, "budgets"), i, budget)
    {
        data_cell(c, d, "data.name");
        put_values(c, d->json, "{data.n:.0|-} | {threat.norm|} ");
        put_values(c, budget, "{eps_text|} | ");
        json_array_foreach(show_json_find(d->json, "attacks"), j, attack)
        {
            fputs(j ? ", " : "", c->out);
            put_text(c, show_json_string(attack, "spec"));
        }
        put_values(c, budget, " | {robust_acc:%|not measured}");
        put_values(c, budget, " ({ci95[0]:p1} to {ci95[1]:p1})");
        put_values(c, d->json, " | {seed:.0|-} |\n");
    }
}

static void attack_put(const card *c, const convert_document *d)
{
    const char *text = show_json_string(d->json, "trust.text");

    fputs("| data | images | budget | attacks | robust accuracy (95 %) | seed |\n"
          "|---|---|---|---|---|---|\n",
          c->out);
    attack_rows(c, d);
    fputs("\nAn upper bound: a stronger attack can only lower it.", c->out);
    if (text) {
        fputs(" Checks of the attack: ", c->out);
        put_text(c, text);
        fputs(".", c->out);
    }
    fputs("\n\n", c->out);
    facts_put(c, show_json_find(d->json, "trust.facts"));
}

/* What every document says that has such figures. */
static void measured_put(const card *c)
{
    static const struct {
        const char *title;
        void (*put)(const card *c, const convert_document *d);
        const char *head, *end; /* around those of all documents */
    } parts[CONVERT_FIGURES] = {
        [CONVERT_ACCURACY] = {"Accuracy", accuracy_put,
                              "| data | images | top-1 (95 %) | top-5 | loss | calibration "
                              "error | seed |\n|---|---|---|---|---|---|---|\n",
                              "\n"},
        [CONVERT_CORRUPTION] = {"Accuracy under corruption", corruption_put, "", ""},
        [CONVERT_ATTACK] = {"Accuracy under attack", attack_put, "", ""}};

    for (int f = 0; f < CONVERT_FIGURES; f++) {
        bool any = false;

        fprintf(c->out, "## %s\n\n", parts[f].title);
        for (size_t i = 0; i < c->documents->count; i++) {
            if (!c->documents->at[i].has[f])
                continue;
            fputs(any ? "" : parts[f].head, c->out);
            any = true;
            parts[f].put(c, &c->documents->at[i]);
        }
        fputs(any ? parts[f].end : "Not measured.\n\n", c->out);
    }
}

/* ---- where it comes from ------------------------------------------------------------- */

static void origin_put(const card *c, const char *license, bool narrow)
{
    const convert_documents *d = c->documents;

    fprintf(c->out, "## Provenance\n\n| | |\n|---|---|\n| written by | vmoe %s |\n",
            BASE_VERSION);
    fputs("| from | ", c->out);
    put_text(c, d->source);
    fprintf(c->out, ", sha256 `%s` |\n", d->sha256);
    if (narrow)
        fputs("| weights | rounded to bf16 here; figures are of the checkpoint above |\n",
              c->out);
    if (d->changed)
        fputs("| changed | by options of `vmoe convert` after training: figures and recipe "
              "are of the checkpoint above |\n",
              c->out);
    for (size_t i = 0; i < d->count; i++) {
        fprintf(c->out, "| document | ");
        put_text(c, convert_path_tail(d->at[i].file, 1));
        fprintf(c->out, " of `vmoe %s`, sha256 `%s` |\n",
                show_json_string(d->at[i].json, "command"), d->at[i].sha256);
    }
    fputs("\n## Licence\n\n", c->out);
    if (license) {
        put_text(c, license);
        fputs("\n", c->out);
    } else {
        fputs("Not stated. Who publishes this folder says under which licence "
              "(`license:` in the lines at the top), with the data's terms in mind.\n",
              c->out);
    }
}

/* What the network is, in one sentence. */
static void sentence_put(const card *c)
{
    char name[128];

    fprintf(c->out, "# %s\n\n", c->name);
    fputs("An image classifier: ", c->out);
    put_text(c, app_network_name(name, sizeof name, c->config));
    fprintf(c->out, ", a vision transformer%s, %d classes.\n\n",
            vit_config_is_sparse(c->config) ? " with sparse experts" : "",
            c->config->classes);
}

base_status convert_card(const char **out, const vit_model *model,
                         const convert_documents *documents, const char *name,
                         const char *license, bool narrow, base_error *err)
{
    card c = {.model = model,
              .config = vit_model_config(model),
              .documents = documents,
              .name = name};
    size_t bytes = 0;
    char *text = NULL, *config = vit_model_hub_json(model, &c.timm);

    c.out = config ? open_memstream(&text, &bytes) : NULL;
    base_free(config);
    if (!c.out)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the model card");
    front_put(&c, license);
    sentence_put(&c);
    use_put(&c);
    network_put(&c);
    training_put(&c);
    measured_put(&c);
    origin_put(&c, license, narrow);
    const bool good = !ferror(c.out);
    const bool closed = fclose(c.out) == 0;
    *out = good && closed ? app_text("%s", text) : NULL;
    free(text); /* the stream's, from malloc */
    return *out ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for the model card");
}
