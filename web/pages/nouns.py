"""Singular nouns that classes are often named after, and whether a label is one of them.

Few own classes are singular nouns: "roses", "without mask", "NORMAL" and "8" are not. No rule of spelling separates
those that are, so the list is short and certain, without words that are also adjectives or uncountable.
"""

ANIMALS = """
    alligator alpaca animal ant antelope ape baboon badger bat bear beaver bee beetle bird bison boar buffalo bug bull
    butterfly camel canary cat caterpillar cheetah chick chicken chimpanzee cobra cockroach cougar cow coyote crab
    crane cricket crocodile crow deer dog dolphin donkey dove dragonfly duck eagle elephant elk ewe falcon ferret
    finch fish flamingo fly foal fox frog gazelle giraffe goat goldfish goose gorilla grasshopper hamster hare hawk
    hedgehog hen heron hippopotamus horse hyena iguana insect jackal jaguar jay jellyfish kangaroo kitten koala
    ladybird ladybug lamb leopard lion lizard llama lobster lynx magpie meerkat mole monkey moose mosquito moth mouse
    mule octopus opossum orangutan ostrich otter owl ox oyster panda panther parrot peacock pelican penguin pheasant
    pig pigeon pony porcupine puffin pug puma puppy python rabbit raccoon ram rat raven reptile retriever rhinoceros
    robin rooster seagull seal shark sheep shepherd shrimp skunk sloth snail snake sparrow spider squid squirrel
    starfish stork swallow swan terrier tiger toad tortoise turkey turtle vulture wasp weasel whale wolf wombat
    woodpecker worm yak zebra
"""
PLANTS_AND_FOOD = """
    acorn apple apricot artichoke aubergine avocado bagel banana berry blackberry blueberry bun burger cabbage cactus
    cake carrot cherry chestnut coconut cookie courgette croissant cucumber cupcake daffodil dahlia daisy dandelion
    doughnut egg eggplant fern fig flower fruit grape grapefruit hamburger hibiscus iris kiwi leaf lemon lily lotus
    mango marigold melon mushroom nectarine nut oak olive onion orchid palm pancake papaya peach pear pepper pine
    pineapple pizza plant plum pomegranate poppy potato pretzel pumpkin radish raspberry rose salad sandwich seed
    strawberry sunflower taco toadstool tomato tree tulip turnip vegetable waffle walnut watermelon weed
"""
THINGS = """
    accordion aeroplane airplane ambulance anchor arrow automobile axe backpack bag ball balloon banjo basket bath
    battery bed bell belt bench bicycle bike blanket blouse boat book boot bottle bowl box bracelet bridge broom brush
    bucket bulb bus button calculator camera can candle cap car card cart castle cello chair church circle clarinet
    clock coat coin comb compass computer couch crown cube cup cupboard curtain cushion desk diamond door dress drill
    drone drum ellipse envelope fan faucet fence flag flute fork fridge guitar gun hammer hand handbag hat headphone
    heart helicopter helmet hexagon house jacket jar jug kettle key keyboard knife ladder lamp laptop letter lock
    lorry map mask microphone microscope microwave mirror motorbike motorcycle mug nail necklace needle oval oven pan
    parachute pen pencil pentagon phone piano picture pillow plane plate plug pot printer pullover purse pyramid radio
    rectangle ring robot rocket roof rope ruler saddle sandal satellite saw saxophone scarf screw screwdriver shelf
    shell ship shirt shoe shovel sign sink skateboard skirt sneaker sock sofa spanner spoon square star statue stool
    suitcase sweater switch sword table tank tap taxi teapot telephone telescope television tent tie tire toaster
    toilet tool toothbrush towel toy tractor trailer train tram tray triangle truck trumpet tyre umbrella vacuum van
    vase vehicle violin wallet watch wheel wheelchair window wrench
"""
PEOPLE_AND_PLACES = """
    airport artist athlete baby barn beach boy bride building child city cliff crack crater crowd dancer dent desert
    doctor ear eye face field finger fist foot forest garden girl glacier hill hole hospital island kitchen lake
    library man melanoma moon mountain mouth nevus nose nurse park passenger pedestrian person player river road room
    school scratch station street tooth tower tumor tumour tunnel valley village volcano wall waterfall woman worker
"""
NOUNS = frozenset(f"{ANIMALS} {PLANTS_AND_FOOD} {THINGS} {PEOPLE_AND_PLACES}".split())
# Before a noun, a determiner stands in the place of an article, and a connective makes another phrase of it.
DETERMINERS = """
    a an the this that these those my your his her its our their no any some all both each every either neither many
    much more most less few several other another multiple one two three four five six seven eight nine ten
"""
CONNECTIVES = """
    not non never and or nor but vs versus with without of in on at to from for by over under than near per as is are
"""
FUNCTION_WORDS = frozenset(f"{DETERMINERS} {CONNECTIVES}".split())


def is_singular_noun(label: str) -> bool:
    """Return True for a label of plain words that ends in a noun of the list: "cat" or "tabby cat", not "no cat"."""
    *before, last = label.split(" ")
    is_noun = last[:1].lower() + last[1:] in NOUNS
    return is_noun and all(word.isalpha() and word.lower() not in FUNCTION_WORDS for word in before)
