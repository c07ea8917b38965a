/* momentum_internal.h - the heavy ball that "momentum" and the later layers of "adam" share
 * (momentum.c). Private to vit/. */
#ifndef VIT_ROUTERS_MOMENTUM_INTERNAL_H
#define VIT_ROUTERS_MOMENTUM_INTERNAL_H

#include "vit/routers/router_onnx_internal.h"

/* Its options, named ball in a router's struct. */
typedef struct vit_heavy_ball_options {
    double mu, gamma;
} vit_heavy_ball_options;

#define VIT_HEAVY_BALL_DEFAULTS                                                            \
    {                                                                                      \
        .mu = 0.7, .gamma = 1.0                                                            \
    }
/* Entries of a table of fields. */
#define VIT_HEAVY_BALL_OPTIONS                                                             \
    BASE_REAL("mu", ball.mu, 0, 1.0,                                                       \
              "share of the momentum that stays from MoE layer to MoE layer "              \
              "(MomentumSMoE's scripts: 0.7; its command line: 0.9; 0: none)"),            \
        BASE_REAL("gamma", ball.gamma, -1e3, 1e3,                                          \
                  "weight of the experts' output in the momentum (MomentumSMoE: 1)")

typedef struct vit_heavy_ball {
    float mu;    /* how much of the momentum stays */
    float gamma; /* weight of the layer's output */
} vit_heavy_ball;

/* m' = mu m + gamma y, h_next = h + m'. All [floats], m_next the new momentum. h_next may
 * be h. */
void vit_heavy_ball_forward(float *h_next, float *m_next, const float *h, const float *y,
                            const float *m, size_t floats, vit_heavy_ball ball);
/* The same as nodes: a member of vit_router_join but for the last argument. */
const char *vit_heavy_ball_onnx(vit_onnx_layer *layer, const char *h, const char *y,
                                vit_heavy_ball ball);
/* d_h, d_y, d_m overwritten. d_h may be d_h_next, d_m may be d_m_next. */
void vit_heavy_ball_backward(float *d_h, float *d_y, float *d_m, const float *d_h_next,
                             const float *d_m_next, size_t floats, vit_heavy_ball ball);

#endif
