"""What the demo model knows: 108 emoji, six backgrounds, and the words for them."""

import json
import os
import random

import numpy as np

SIZE = 96  # side of a picture
FACTOR = 8  # picture pixels per latent pixel
LATENT = SIZE // FACTOR
COLUMNS = 12  # of the reference sheet

# prompt name -> icon of @iconify-json/noto. The order is the order of the sheet.
EMOJI = {
    # animals
    "tiger face": "tiger-face", "dog face": "dog-face", "cat face": "cat-face",
    "mouse face": "mouse-face", "rabbit face": "rabbit-face", "fox face": "fox",
    "bear face": "bear", "panda face": "panda", "koala": "koala",
    "lion face": "lion", "cow face": "cow-face", "pig face": "pig-face",
    "frog face": "frog", "monkey face": "monkey-face", "chicken": "chicken",
    "penguin": "penguin", "unicorn face": "unicorn", "owl": "owl",
    "bee": "honeybee", "ladybug": "lady-beetle", "butterfly": "butterfly",
    "snail": "snail", "turtle": "turtle", "octopus": "octopus",
    "crab": "crab", "tropical fish": "tropical-fish", "dolphin": "dolphin",
    "whale": "spouting-whale", "shark": "shark", "parrot": "parrot",
    "flamingo": "flamingo", "elephant": "elephant", "giraffe": "giraffe",
    "crocodile": "crocodile", "dinosaur": "t-rex", "zebra": "zebra",
    # nature
    "sunflower": "sunflower", "rose": "rose", "tulip": "tulip",
    "hibiscus": "hibiscus", "cherry blossom": "cherry-blossom", "cactus": "cactus",
    "palm tree": "palm-tree", "pine tree": "evergreen-tree", "maple leaf": "maple-leaf",
    "four leaf clover": "four-leaf-clover", "mushroom": "mushroom", "fire": "fire",
    "rainbow": "rainbow", "snowflake": "snowflake", "sun with face": "sun-with-face",
    "crescent moon": "crescent-moon", "star": "star", "earth globe": "globe-showing-americas",
    "lightning": "high-voltage",
    # food
    "red apple": "red-apple", "green apple": "green-apple", "banana": "banana",
    "orange": "tangerine", "lemon": "lemon", "pear": "pear",
    "watermelon": "watermelon", "grapes": "grapes", "strawberry": "strawberry",
    "cherries": "cherries", "peach": "peach", "pineapple": "pineapple",
    "kiwi": "kiwi-fruit", "avocado": "avocado", "tomato": "tomato",
    "eggplant": "eggplant", "carrot": "carrot", "corn": "ear-of-corn",
    "broccoli": "broccoli", "croissant": "croissant", "pretzel": "pretzel",
    "cheese": "cheese-wedge", "hamburger": "hamburger", "pizza": "pizza",
    "hot dog": "hot-dog", "taco": "taco", "cookie": "cookie",
    "doughnut": "doughnut", "birthday cake": "birthday-cake", "cupcake": "cupcake",
    "ice cream": "soft-ice-cream", "popcorn": "popcorn", "coffee": "hot-beverage",
    "fried egg": "cooking",
    # vehicles
    "red car": "automobile", "taxi": "taxi", "bus": "bus",
    "tractor": "tractor", "rocket": "rocket", "airplane": "airplane",
    "sailboat": "sailboat", "flying saucer": "flying-saucer",
    # hearts and things
    "red heart": "red-heart", "blue heart": "blue-heart", "green heart": "green-heart",
    "yellow heart": "yellow-heart", "balloon": "balloon", "gift": "wrapped-gift",
    "crown": "crown", "diamond": "gem-stone", "soccer ball": "soccer-ball",
    "jack o lantern": "jack-o-lantern", "robot": "robot",
}
NAMES = list(EMOJI)

BACKGROUNDS = {
    "white": (255, 255, 255),
    "red": (238, 108, 96),
    "yellow": (255, 221, 110),
    "green": (136, 205, 132),
    "blue": (112, 176, 244),
    "pink": (252, 186, 208),
}
COLORS = list(BACKGROUNDS)
P_WHITE = 0.4  # share of training samples on white


def article(name):
    if name in ("cherries", "grapes", "fire", "lightning", "corn", "broccoli", "popcorn", "coffee", "cheese"):
        return name
    return ("an " if name[0] in "aeiou" and name != "unicorn face" else "a ") + name


def caption(name, color, rng=random):
    """A prompt for one training sample; one in ten is empty, for classifier-free guidance."""
    if rng.random() < 0.1:
        return ""
    s = rng.choice([name, article(name), article(name), name + " emoji"])
    if color == "white" and rng.random() < 0.7:
        return s
    return f"{s} on a {color} background"


def work(*parts):
    """A path in the work folder: $DEMOWORK, or ./demowork."""
    return os.path.join(os.environ.get("DEMOWORK", "demowork"), *parts)


def load_rgba():
    """[N, SIZE, SIZE, 4] float32 in 0..1, straight alpha, as prepare.py rendered them."""
    a = np.load(work("emoji.npy"))
    assert a.shape == (len(NAMES), SIZE, SIZE, 4), a.shape
    return a.astype(np.float32) / 255


def compose(rgba, color):
    """Straight-alpha picture(s) over one colour (0..255) -> RGB in 0..1."""
    a = rgba[..., 3:]
    return rgba[..., :3] * a + np.asarray(color, np.float32) / 255 * (1 - a)


def test_prompts(n=40, seed=20240607):
    """The fixed test set: drawn once, half on white, half on the other colours."""
    rng = random.Random(seed)
    names = rng.sample(NAMES, n)
    out = []
    for i, name in enumerate(names):
        color = "white" if i % 2 == 0 else rng.choice(COLORS[1:])
        text = article(name) + ("" if color == "white" else f" on a {color} background")
        out.append({"prompt": text, "emoji": name, "background": color, "seed": 1000 + i})
    return out


def write_tables(folder):
    """demo_prompts.json for the Go test."""
    with open(os.path.join(folder, "demo_prompts.json"), "w") as f:
        json.dump({"backgrounds": {k: list(v) for k, v in BACKGROUNDS.items()},
                   "emoji": NAMES, "prompts": test_prompts()}, f, indent=1)
        f.write("\n")
