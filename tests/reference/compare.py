"""compare.py - is what the program computes what PyTorch computes?

    compare.py logits MODEL INPUTS.npy LOGITS.npy     files of `vmoe predict --inputs --logits`
    compare.py predict VMOE MODEL IMAGE ...           runs the program, then compares
    compare.py timm VMOE [--models NAME,NAME]         timm's networks with random weights

The largest absolute difference of the logits goes to stdout; above --tolerance (1e-4) the exit status
is 1. MODEL is a checkpoint of ours, evaluated in double precision by vmoe_torch.py. timm's networks are
saved with their own names and no metadata, and evaluated by timm itself.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

from vmoe_torch import Network


def report(what, ours, theirs, tolerance):
    difference = float(np.abs(ours.astype(np.float64) - theirs).max())
    size = float(np.abs(theirs).max())
    verdict = "ok" if difference <= tolerance else "TOO LARGE"
    print(f"{what}: {ours.shape[0]} samples, {ours.shape[1]} classes, largest logit {size:.4g}, "
          f"largest difference {difference:.3g} {verdict}")
    return difference <= tolerance


def logits_of(model, inputs, batch):
    """fp64 logits [n, K]; `batch` matters only where capacity drops tokens in evaluation."""
    network = Network.load(model, torch.float64)
    with torch.no_grad():
        parts = [network.forward(torch.from_numpy(inputs[i : i + batch])).logits
                 for i in range(0, len(inputs), batch)]
    return torch.cat(parts).numpy()


def predict(vmoe, model, images, folder):
    inputs, logits = folder / "inputs.npy", folder / "logits.npy"
    subprocess.run([vmoe, "predict", model, *images, "--inputs", inputs, "--logits", logits],
                   check=True, stdout=subprocess.DEVNULL)
    return np.load(inputs), np.load(logits)


def import_timm():
    """timm imports torchvision, whose compiled part may not fit a CPU-only torch: then the two
    operators that its import asks for are declared here (nothing calls them)."""
    try:
        import timm
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [n for n in sys.modules if n.split(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(operator + "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        import_timm.keep = library
        import timm
    return timm


def random_images(folder, count, size):
    """PNG files of smooth noise: nothing to fetch, every pixel value occurs."""
    from PIL import Image

    random = np.random.default_rng(7)
    paths = []
    for i in range(count):
        small = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((size + 30 * i, size + 17), Image.BICUBIC)
        paths.append(folder / f"picture{i}.png")
        picture.save(paths[-1])
    return paths


def check_timm(vmoe, names, tolerance, folder):
    from safetensors.torch import save_file

    timm = import_timm()
    good = True
    for name in names:
        torch.manual_seed(1)
        network = timm.create_model(name, pretrained=False, num_classes=10)
        with torch.no_grad():  # a zero head would hide everything
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        network = network.eval()
        model = folder / f"{name}.safetensors"
        save_file({n: w.contiguous() for n, w in network.state_dict().items()}, model)
        size = network.patch_embed.img_size[0]
        inputs, logits = predict(vmoe, model, random_images(folder, 4, size), folder)
        with torch.no_grad():
            theirs = network.double()(torch.from_numpy(inputs).double()).numpy()
        good &= report(f"timm {name}", logits, theirs, tolerance)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32,
                        help="images routed together (matters with capacity in evaluation)")
    commands = parser.add_subparsers(dest="command", required=True)
    files = commands.add_parser("logits")
    files.add_argument("model")
    files.add_argument("inputs")
    files.add_argument("logits")
    run = commands.add_parser("predict")
    run.add_argument("vmoe")
    run.add_argument("model")
    run.add_argument("images", nargs="+")
    peer = commands.add_parser("timm")
    peer.add_argument("vmoe")
    peer.add_argument("--models",
                      default="vit_tiny_patch16_224,deit_tiny_patch16_224,vit_small_patch32_224")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if args.command == "timm":
            good = check_timm(args.vmoe, args.models.split(","), args.tolerance, folder)
        else:
            if args.command == "predict":
                inputs, logits = predict(args.vmoe, args.model, args.images, folder)
            else:
                inputs, logits = np.load(args.inputs), np.load(args.logits)
            theirs = logits_of(args.model, inputs, args.batch)
            good = report(args.model, logits, theirs, args.tolerance)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
