"""The user's own data sets and networks, `module:function`, that are missing, raise, or return something else."""

from __future__ import annotations

from collections.abc import Iterator

from misuse.misuse_case import Misuse

NETWORK = "network(channels, size, classes, dropout=0.0)"
MODULES = {
    "a syntax error": "def network(:\n",
    "raises at import": "raise RuntimeError('no licence found')\n",
    "exits at import": "import sys\nsys.exit(0)\n",
    "exits with a word at import": "raise SystemExit('bye')\n",
    "interrupts at import": "raise KeyboardInterrupt\n",
    "imports what is missing": "import nosuchpackage\n",
    "imports itself": "from mine import other\n",
    "has no such function": "x = 1\n",
    "names a number": "network = 7\ndata = 7\n",
    "names a class without arguments": "class network:\n    pass\nclass data:\n    pass\n",
    "names a builtin": "network = print\ndata = print\n",
    "is not UTF-8": b"# \xfc\nnetwork = 1\n",
    "holds a NUL": b"network = '\x00'\n",
}
NETWORKS = {
    "raises": f"def {NETWORK}:\n    raise ValueError('width must be odd')\n",
    "raises without a word": f"def {NETWORK}:\n    raise ValueError\n",
    "exits": f"import sys\ndef {NETWORK}:\n    sys.exit(0)\n",
    "returns nothing": f"def {NETWORK}:\n    pass\n",
    "returns a class": f"from torch import nn\ndef {NETWORK}:\n    return nn.Linear\n",
    "returns a tuple": f"from torch import nn\ndef {NETWORK}:\n    return nn.Flatten(), nn.Flatten()\n",
    "returns another shape": f"from torch import nn\ndef {NETWORK}:\n    return nn.Flatten()\n",
    "returns too few outputs": (
        f"from torch import nn\ndef {NETWORK}:\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes - 1))\n"
    ),
    "returns a dictionary from forward": (
        f"from torch import nn\nclass N(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
        f"        self.f = nn.LazyLinear(n)\n    def forward(self, x):\n        return {{'logits': self.f(x)}}\n"
        f"def {NETWORK}:\n    return N(classes)\n"
    ),
    "raises in forward": (
        f"from torch import nn\nclass N(nn.Module):\n    def forward(self, x):\n        raise TypeError('not today')\n"
        f"def {NETWORK}:\n    return N()\n"
    ),
    "has no parameters": (
        f"import torch\nfrom torch import nn\nclass N(nn.Module):\n    def forward(self, x):\n"
        f"        return torch.zeros(len(x), 10)\ndef {NETWORK}:\n    return N()\n"
    ),
    "takes no arguments": "def network():\n    pass\n",
    "takes too many arguments": "def network(channels, size, classes, dropout, more):\n    pass\n",
    "takes other names": "def network(a, b, c, d=0):\n    raise AssertionError\n",
    "has no dropout": "from torch import nn\ndef network(channels, size, classes):\n    return nn.Flatten()\n",
    "passes on what nothing takes": "from torch import nn\ndef network(**options):\n    return nn.Linear(**options)\n",
    "returns a tuple from forward": (
        f"from torch import nn\nclass N(nn.Module):\n    def forward(self, x):\n        return x, x\n"
        f"def {NETWORK}:\n    return N()\n"
    ),
    "is a generator": f"def {NETWORK}:\n    yield 1\n",
    "is async": f"async def {NETWORK}:\n    return 1\n",
    "recurses": f"def {NETWORK}:\n    return network(channels, size, classes)\n",
}
DATA = "data(part, config, data_dir)"
GREEDY = (  # fits as long as nothing is trained
    "import torch\nfrom torch import nn\nclass N(nn.Sequential):\n    def forward(self, x):\n"
    "        if self.training:\n            torch.empty(1 << 46)\n        return super().forward(x)\n"
    f"def {NETWORK}:\n    return N(nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels * size**2, classes))\n"
)
SETS = {
    "raises": f"def {DATA}:\n    raise ValueError('no such table')\n",
    "exits": f"import sys\ndef {DATA}:\n    sys.exit(0)\n",
    "exits hard with a word": f"def {DATA}:\n    raise SystemExit('done')\n",
    "returns nothing": f"def {DATA}:\n    pass\n",
    "returns a number": f"def {DATA}:\n    return 7\n",
    "returns a tuple of lists": f"def {DATA}:\n    return [1, 2], [0, 1]\n",
    "takes no arguments": "def data():\n    pass\n",
    "takes too many arguments": "def data(part, config, data_dir, more):\n    pass\n",
    "returns floats": (
        f"import torch\nfrom regstudy.data.image_set import ImageSet\ndef {DATA}:\n"
        "    return ImageSet(torch.rand(40, 3, 8, 8), torch.arange(40) % 2, ('a', 'b'))\n"
    ),
    "returns other dimensions": (
        f"import torch\nfrom regstudy.data.image_set import ImageSet\ndef {DATA}:\n"
        "    return ImageSet(torch.zeros(40, 8, 8, dtype=torch.uint8), torch.arange(40) % 2, ('a', 'b'))\n"
    ),
    "returns oblong images": (
        f"import torch\nfrom regstudy.data.image_set import ImageSet\ndef {DATA}:\n"
        "    return ImageSet(torch.zeros(40, 3, 8, 9, dtype=torch.uint8), torch.arange(40) % 2, ('a', 'b'))\n"
    ),
    "returns labels out of range": (
        f"import torch\nfrom regstudy.data.image_set import ImageSet\ndef {DATA}:\n"
        "    return ImageSet(torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(40), ('a', 'b'))\n"
    ),
    "returns too few labels": (
        f"import torch\nfrom regstudy.data.image_set import ImageSet\ndef {DATA}:\n"
        "    return ImageSet(torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(4) % 2, ('a', 'b'))\n"
    ),
    "returns no images": (
        f"import torch\nfrom regstudy.data.image_set import ImageSet\ndef {DATA}:\n"
        "    return ImageSet(torch.zeros(0, 3, 8, 8).byte(), torch.zeros(0).long(), ('a', 'b'))\n"
    ),
    "returns one class": (
        f"import torch\nfrom regstudy.data.image_set import ImageSet\ndef {DATA}:\n"
        "    return ImageSet(torch.zeros(40, 3, 8, 8).byte(), torch.zeros(40).long(), ('a',))\n"
    ),
}
LIBRARY_NETWORKS = {  # name, further entries of the section, what the message must say
    "torchvision, no such network": ("torchvision:resnet35", "", "Did you mean 'torchvision:resnet50'"),
    "torchvision, a function that is no network": ("torchvision:list_models", "", "torchvision has no network"),
    "torchvision, no name": ("torchvision:", "", "torchvision has no network ''"),
    "torchvision, no dropout": ("torchvision:resnet18", ", dropout: 0.2", "model.dropout: must be 0"),
    "torchvision, no stochastic depth": ("torchvision:vgg11", ", stochastic_depth: 0.2", "must be 0"),
    "torchvision, small images": ("torchvision:alexnet", "", "Images of 64 pixels per side work"),
    "torchvision, no such option": ("torchvision:resnet18", ", options: {width: 2}", "no option 'width'"),
    "torchvision, an option it sets": ("torchvision:squeezenet1_1", ", options: {version: 1}", "version"),
    "torchvision, no such weights": ("torchvision:squeezenet1_1", ", weights: imagnet", "Did you mean 'imagenet'"),
    "torchvision, weights out of reach": ("torchvision:squeezenet1_1", ", weights: imagenet", "cannot be downloaded"),
    "torchvision, no weight file": ("torchvision:squeezenet1_1", ", weights: w.pt", "there is no file w.pt"),
    "timm, no such network": ("timm:resnet19", "", "Did you mean 'timm:resnet18'"),
    "timm, the function that builds": ("timm:create_model", "", "timm has no network 'create_model'"),
    "timm, no such tag": ("timm:resnet18.a9_in1k", "", "timm has no network 'resnet18.a9_in1k'"),
    "timm, no stochastic depth": ("timm:ghostnet_050", ", stochastic_depth: 0.1", "model.stochastic_depth: must be 0"),
    "timm, dropout in blocks": ("timm:resnet10t", ", block_dropout: 0.1", "model.block_dropout: must be 0"),
    "timm, no such option": ("timm:resnet10t", ", options: {output_strid: 3}", "Did you mean 'output_stride'"),
    "timm, a wrong value": ("timm:resnet10t", ", options: {output_stride: 3}", "'timm:resnet10t'"),
    "timm, no such weights": ("timm:resnet10t", ", weights: imagnet", "Did you mean 'imagenet'"),
    "timm, weights out of reach": ("timm:resnet10t", ", weights: imagenet", "cannot be downloaded"),
    "timm, a builder as a function": ("timm.models:resnet10t", "", "as in 'timm:resnet10t'"),
    "tim": ("tim:resnet10t", "", "as in 'timm:resnet10t'"),
    "a plain name that timm has": ("resnet10t", "", "There is 'timm:resnet10t'"),
}
COMMANDS = {
    "study": ("study", "--space", "s.yaml", "--trials", "1", "--no-doctor"),
    "dry run": ("study", "--space", "s.yaml", "--trials", "1", "--no-doctor", "--dry-run"),
    "train": ("train", "s.yaml", "-o", "out"),
    "compare": ("compare", "s.yaml", "--repeats", "1"),
    "doctor": ("doctor", "s.yaml", "--preflight"),
    "preview": ("preview", "s.yaml"),
}


def space(data: str = "digits", model: str = "small_cnn") -> str:
    limits = ", train_limit: 60, validation: 40" if data == "digits" else ""
    return f"data: {{name: '{data}'{limits}}}\nmodel: {{name: '{model}'}}\ntraining: {{epochs: 1, batch_size: 8}}\n"


def cases() -> Iterator[Misuse]:
    for name, code in MODULES.items():
        codes = frozenset({2, 130} if "KeyboardInterrupt" in str(code) else {2})
        for where in ("network", "data"):
            text = space(**{"model" if where == "network" else "data": f"mine:{where}"})
            for command in ("study", "dry run") if where == "network" else ("study",):
                files = {"s.yaml": text, "mine.py": code}
                yield Misuse(f"{command}, {where} module {name}", COMMANDS[command], codes=codes, files=files)
    for name, code in NETWORKS.items():
        files = {"s.yaml": space(model="mine:network"), "mine.py": code}
        for command in ("study", "train"):
            yield Misuse(f"{command}, network {name}", COMMANDS[command], files=files)
    for name, (model, more, words) in LIBRARY_NETWORKS.items():
        text = space(model=model).replace(f"'{model}'", f"'{model}'{more}").replace("digits'", "digits', size: 28")
        yield Misuse(f"study, network of {name}", COMMANDS["study"], says=(words,), files={"s.yaml": text})
    for command in ("study", "train", "compare", "doctor"):
        files = {"s.yaml": space(model="mine:network"), "mine.py": GREEDY}
        more = ("--set", "training.deterministic=true") if command != "doctor" else ()
        says = ("out of memory", "training.batch_size")
        yield Misuse(f"{command}, network that lacks memory", (*COMMANDS[command], *more), says=says, files=files)
    for name, code in SETS.items():
        files = {"s.yaml": space(data="mine:data"), "mine.py": code}
        for command in ("study", "train", "compare"):
            yield Misuse(f"{command}, data set {name}", COMMANDS[command], files=files)
    for command, arguments in COMMANDS.items():
        for name in ("nosuch:thing", "mine:", ":mine", "mine:a.b", "mine", "json:nosuch", "a-b:c", "..mine:c"):
            files = {"s.yaml": space(model=name), "mine.py": "x = 1\n"}
            if command in ("study", "doctor") or name == "nosuch:thing":
                codes = frozenset({0, 2}) if command == "preview" else frozenset({2})
                yield Misuse(f"{command}, network {name!r}", arguments, codes=codes, files=files)
