/* softmax_internal.h - the router "softmax" for routers built upon it: those that change
 * how the layer meets the stream (momentum.c, adam.c, robust_momentum.c) or that mix scores
 * before the choice (similarity.c, attention.c). Its options stand in their lists too, so
 * that a comparison differs in the one thing that they change. Private to vit/. */
#ifndef VIT_ROUTERS_SOFTMAX_INTERNAL_H
#define VIT_ROUTERS_SOFTMAX_INTERNAL_H

#include "vit/routers/router_pass_internal.h"

enum {
    VIT_SOFTMAX_GATE_AUTO,
    VIT_SOFTMAX_GATE_PROB,
    VIT_SOFTMAX_GATE_RENORM
};                                                       /* choices of "gate" */
enum { VIT_SOFTMAX_COUNT_FIRST, VIT_SOFTMAX_COUNT_ALL }; /* choices of "balance_count" */

/* Its options. First in the struct of every router that is built upon it, named soft. */
typedef struct vit_softmax_options {
    int gate;
    double balance;
    int balance_count;
    double z, noise;
} vit_softmax_options;

#define VIT_SOFTMAX_DEFAULTS                                                               \
    {                                                                                      \
        .gate = VIT_SOFTMAX_GATE_AUTO, .balance = 0.01,                                    \
        .balance_count = VIT_SOFTMAX_COUNT_FIRST                                           \
    }
/* Entries of a table of fields. */
#define VIT_SOFTMAX_OPTIONS                                                                \
    BASE_CHOICE("gate", soft.gate, "auto|prob|renorm",                                     \
                "weight of a chosen expert: its probability, or renormalised over the "    \
                "chosen ones (auto: prob for k = 1 as Switch, renorm for k >= 2 as the "   \
                "SMoE baseline)"),                                                         \
        BASE_REAL("balance", soft.balance, 0, 1e3,                                         \
                  "weight of the balance loss (Switch Transformers: 0.01)"),               \
        BASE_CHOICE(                                                                       \
            "balance_count", soft.balance_count, "first|all",                              \
            "choices that the balance loss counts: first ones (GShard, V-MoE code) "       \
            "or all k"),                                                                   \
        BASE_REAL("z", soft.z, 0, 1e3,                                                     \
                  "weight of the router z-loss (ST-MoE: 0.001; 0: off)"),                  \
        BASE_REAL("noise", soft.noise, 0, 1e3,                                             \
                  "standard deviation of normal noise on the logits in training (not in "  \
                  "the sources; with SSR's value it is SSR without Sinkhorn steps)")

typedef struct vit_softmax_settings {
    vit_route_gate gate;
    double balance, z, sigma; /* sigma: 0 outside training */
    bool count_all;
} vit_softmax_settings;

/* Members of vit_router. */
base_status vit_softmax_check(const vit_config *config, base_error *err);
void vit_softmax_forward(vit_router_pass *pass);
void vit_softmax_backward(vit_router_pass *pass, const float *d_gate);

/* By its options, for k experts a token. */
vit_route_gate vit_softmax_gate_of(const vit_router_config *config, size_t k);
vit_softmax_settings vit_softmax_settings_of(const vit_router_pass *pass);
/* Balance and z-loss, weighted, mean over groups: of the clean logits and pass->out.expert.
 * With d_z [T, E], loss_scale times their gradient is added there. */
double vit_softmax_losses(vit_router_pass *pass, const vit_softmax_settings *set,
                          const vit_route_state *state, double *d_z);

#endif
