#!/usr/bin/env python3
"""Factors of layer-wise learning rates for tests/test_vit_optimizer.c: what timm makes of
its own networks."""
import timm
from timm.optim import param_groups_layer_decay

for name, options in (('vit_small_patch14_reg4_dinov2', {}), ('vit_base_patch16_clip_224', {}),
                      ('vit_tiny_patch16_224', {'global_pool': 'avg'})):
    model = timm.create_model(name, depth=3, num_classes=5, **options)
    names = {id(p): n for n, p in model.named_parameters()}
    for group in param_groups_layer_decay(model, 0.05, layer_decay=0.7):
        for p in group['params']:
            print(f'{names[id(p)]} {group["lr_scale"]:.6g}')
