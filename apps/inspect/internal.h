/* internal.h - between the files of `vmoe inspect`. */
#ifndef APPS_INSPECT_INTERNAL_H
#define APPS_INSPECT_INTERNAL_H

#include "apps/network_internal.h"

/* What the checkpoint is (docs/json.md), with every tensor's shape where asked for. On
 * failure *out is untouched. */
base_status app_inspect_json(json_t **out, const app_network *network, bool tensors,
                             const app_common *common, base_error *err);

extern const show_view app_inspect_view; /* view.c */

#endif
