"""runtimes.py - the forward pass of our networks in onnxruntime or OpenVINO, on the CPU.

    python runtimes.py --runtime onnxruntime --threads 2 --batch 32 vit-ti16
    python runtimes.py --runtime onnxruntime --threads 2 --batch 32 mine.onnx    of `vmoe convert`, whose batch is free

The networks are exported by torch.onnx with a fixed batch; sparse ones in the form whose experts take their
rows by nonzero, since a list of counts cannot be traced. bf16: OpenVINO's inference precision; onnxruntime's
CPU kernels have none. One CSV line per size. Needs torch, onnx and the runtime.
"""

import pathlib
import sys
import tempfile
import warnings

import networks
import pace
import torch


def export(size, args, folder):
    torch.manual_seed(0)
    network = networks.Network(size, args.classes, args.experts, args.k, args.depth, sliced=False)
    network.eval()
    images = torch.randn(args.batch, 3, network.image, network.image)
    name = f"{size}-{args.batch}-{args.classes}-{args.experts}-{args.k}-{args.depth}".replace(":", "-")
    path = pathlib.Path(folder) / f"{name}.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if not path.exists():
            torch.onnx.export(network, (images,), f"{path}.part", input_names=["images"],
                              output_names=["logits"], opset_version=17, dynamo=False)
            path.with_suffix(".onnx.part").rename(path)
        expected = network(images)
    parameters = sum(p.numel() for p in network.parameters())
    return path, images.numpy(), expected.numpy(), network.image, parameters


def ours(path, args):
    """A file of `vmoe convert`: its own graph. What it computes is onnx_referee.py's business."""
    import onnx

    graph = onnx.load(path).graph
    channels, side = (d.dim_value for d in graph.input[0].type.tensor_type.shape.dim[1:3])
    parameters = sum(torch.tensor(t.dims).prod().item() for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    return torch.randn(args.batch, channels, side, side).numpy(), side, parameters


def onnxruntime_session(path, images, args):
    import onnxruntime

    if args.precision == "bf16":
        sys.exit("runtimes.py: onnxruntime's CPU kernels have no bf16")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": images})[0]


def openvino_session(path, images, args):
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": args.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if args.precision == "bf16" else "f32",
    }
    request = core.compile_model(core.read_model(str(path)), "CPU", settings).create_infer_request()
    tensor = openvino.Tensor(images, shared_memory=True)
    request.set_input_tensor(tensor)

    def work():
        request.infer()
        return request.get_output_tensor().data

    work.images = images  # the tensor only borrows them
    return work


def main():
    parser = pace.parser(__doc__)
    parser.add_argument("--runtime", choices=("onnxruntime", "openvino"), required=True)
    parser.add_argument("--keep", metavar="FOLDER", help="where exported networks are kept for the next time")
    args = parser.parse_args()
    torch.set_num_threads(args.threads or torch.get_num_threads())
    args.threads = torch.get_num_threads()
    session = onnxruntime_session if args.runtime == "onnxruntime" else openvino_session
    module = __import__(args.runtime)
    version = module.__version__.split("-")[0]
    with tempfile.TemporaryDirectory() as folder:

        def prepare(size):
            if size.endswith(".onnx"):
                images, image, parameters = ours(size, args)
                return session(size, images, args), image, parameters
            path, images, expected, image, parameters = export(size, args, args.keep or folder)
            work = session(path, images, args)
            error = float(abs(work() - expected).max() / abs(expected).max())
            # a router in bf16 too, as OpenVINO has it, sends some tokens elsewhere
            most = 1e-3 if args.precision == "fp32" else 0.5 if size.startswith("vmoe") else 0.1
            if not error < most:
                sys.exit(f"runtimes.py: {size} differs from PyTorch by {error:.2g}")
            return work, image, parameters

        pace.run(args, f"{args.runtime}-{version}", "infer", prepare)


if __name__ == "__main__":
    main()
