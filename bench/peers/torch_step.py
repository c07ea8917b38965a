"""torch_step.py - PyTorch's training step or forward pass on our networks, eager or compiled.

A step is: forward, loss, backward, fused AdamW, zero_grad, on random images held in memory; with --infer a
forward pass in evaluation mode without gradients. bf16 is autocast. --compile: torch.compile, for inference
with frozen weights (TORCHINDUCTOR_FREEZING, as PyTorch's guide for CPUs says); needs a C++ compiler.

    python torch_step.py --threads 2 --batch 64 vmoe-micro:64 vit-micro:64 vmoe-ti16

One CSV line per size: median, smallest and largest of --steps rounds. Needs torch.
"""

import os
import sys

import pace


def main():
    parser = pace.parser(__doc__)
    parser.add_argument("--infer", action="store_true")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    if args.compile and args.infer:
        os.environ["TORCHINDUCTOR_FREEZING"] = "1"  # read when torch is imported
    import networks
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads or torch.get_num_threads())
    args.threads = torch.get_num_threads()
    autocast = {"device_type": "cpu", "dtype": torch.bfloat16, "enabled": args.precision == "bf16"}

    def prepare(size):
        torch.manual_seed(0)
        network = networks.Network(size, args.classes, args.experts, args.k, args.depth)
        parameters = sum(p.numel() for p in network.parameters())
        images = torch.randn(args.batch, 3, network.image, network.image)
        network.train(not args.infer)
        image = network.image
        torch._dynamo.config.recompile_limit = 64  # a graph for each kind of block
        forward = torch.compile(network) if args.compile else network
        if args.infer:
            return lambda: infer(forward, images), image, parameters
        optimizer = networks.optimizer_of(network)
        targets = torch.softmax(torch.randn(args.batch, args.classes), 1)
        return lambda: step(forward, optimizer, images, targets), image, parameters

    def infer(forward, images):
        with torch.no_grad(), torch.autocast(**autocast):
            return forward(images)

    def step(forward, optimizer, images, targets):
        with torch.autocast(**autocast):
            logits = forward(images)
        loss = F.cross_entropy(logits.float(), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    form = "-compiled" if args.compile else ""
    pace.run(args, f"torch{form}-{torch.__version__}", "infer" if args.infer else "step", prepare)


if __name__ == "__main__":
    sys.exit(main())
