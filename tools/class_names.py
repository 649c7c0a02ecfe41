"""Write the names and hypernyms of ImageNet's 1,000 classes, out of WordNet 3.0.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python tools/class_names.py wordnet/usr/share/wordnet/data.noun src/saywhere/text/imagenet-classes.tsv

After WordNet's licence, each line has a class in the order of its index: its WordNet id, its names, and its hypernyms
from near to far, the last two separated by ``|``. Hypernyms that nobody would say of an object in an image ("whole",
"artifact", "placental") are left out, as are names whose words have no vectors.
"""

from __future__ import annotations

import sys
from pathlib import Path

from timm.data.imagenet_info import ImageNetInfo

from saywhere.text.words import shipped_words

# Hypernyms that are too general, or technical terms, to name an object in an image.
TOO_GENERAL = """
entity, physical entity, object, physical object, whole, unit, abstraction, abstract entity, matter, substance,
artifact, artefact, instrumentality, instrumentation, living thing, animate thing, organism, being, causal agent,
cause, causal agency, chordate, vertebrate, craniate, placental, placental mammal, eutherian, eutherian mammal,
mammal, mammalian, diapsid, diapsid reptile, thing, part, piece, portion, body part, creation, product, production,
attribute, quality, group, grouping, system, commodity, trade good, good, consumer goods, way, device, implement,
conveyance, equipment, covering, structure, construction, material, stuff, solid, nutrient, foodstuff, food product,
relation, psychological feature, communication, measure, quantity, amount, amphibian genus, natural object,
geological formation, formation, aquatic vertebrate, animal order, location, region, area, process, physical
process, phenomenon, arthropod family, invertebrate, arthropod, anseriform bird, gallinaceous bird, carinate,
carinate bird, flying bird, ratite, ratite bird, even-toed ungulate, odd-toed ungulate, artiodactyl, artiodactyl
mammal, perissodactyl, perissodactyl mammal, domestic animal, domesticated animal, anapsid, anapsid reptile, hoofed
mammal, plant part, plant structure, plant organ, reproductive structure, mechanism, mechanical device, durables,
durable goods, consumer durables, article, ware, facility, installation, building block, surface, opening, event,
act, nutriment, nourishment, nutrition, sustenance, aliment, alimentation, victuals, produce, green goods, line,
course, dish, fare, connection, connexion, connecter, connector, connective, restraint, constraint, support,
supporter, means, signal, signaling, sign, visual communication, visual signal, elevation, natural elevation,
natural depression, depression, body of water, thread, fabrication, reflector, craft, vehicle part, self-propelled
vehicle, wheeled vehicle, selector, electro-acoustic transducer, transducer, electrical device, electronic device,
electronic equipment, memory device, storage device, acoustic device, source of illumination, medium, print media,
supply, stock, mechanical system, elapid, elapid snake, colubrid, colubrid snake, oscine, oscine bird, passeriform
bird, piciform bird, coraciiform bird, apodiform bird, psittaciform bird, cuculiform bird, columbiform bird,
pelecaniform seabird, coelenterate, cnidarian, gastropod, univalve, mollusk, mollusc, shellfish, crustacean, decapod
crustacean, decapod, arachnid, arachnoid, lepidopterous insect, lepidopteron, lepidopteran, hymenopterous insect,
hymenopteron, hymenopteran, hymenopter, dipterous insect, two-winged insects, dipteran, dipteron, orthopterous
insect, orthopteron, orthopteran, homopterous insect, homopteran, hemipterous insect, dictyopterous insect, odonate,
neuropteron, neuropteran, neuropterous insect, bovid, ruminant, canine, canid, feline, felid, equine, equid,
mustelid, musteline, musteline mammal, procyonid, viverrine, viverrine mammal, lagomorph, gnawing mammal, gnawer,
leporid, leporid mammal, edentate, cetacean, cetacean mammal, blower, proboscidean, proboscidian, pachyderm,
primate, anthropoid ape, simian, hominoid, catarrhine, old world monkey, platyrrhine, platyrrhinian, new world
monkey, prosimian, metatherian, prototherian, monotreme, egg-laying mammal, marsupial, pouched mammal, soft-finned
fish, malacopterygian, spiny-finned fish, acanthopterygian, teleost fish, teleost, teleostan, bony fish,
cartilaginous fish, chondrichthian, elasmobranch, selachian, ganoid, ganoid fish, cypriniform fish, percoid fish,
percoid, percoidean, scorpaenoid, scorpaenoid fish, plectognath, plectognath fish, saurian, anuran, batrachian,
salientian, urodele, caudate, chelonian, chelonian reptile, crocodilian reptile, crocodilian, archosaur,
archosaurian, archosaurian reptile, ornithischian, ornithischian dinosaur, trilobite, ophidian, serpent, solanaceous
vegetable, transport, solid food, green grocery, green groceries, obstruction, establishment, mercantile
establishment, place of business, protective covering, vessel, brass, press, game, punch, shape, round shape,
circle, control, starches, starche, component part, structural member, horizontal surface, supporting structure,
gear, weight, kit
"""
LEFT_OUT = frozenset(" ".join(name.split()) for name in TOO_GENERAL.split(","))
MAX_NAMES = 3  # further names are rare


def read_synsets(path: Path) -> dict[int, tuple[list[str], list[int]]]:
    """The nouns of WordNet: each synset's lemmas and the offsets of its hypernyms (see wndb(5WN))."""
    synsets = {}
    for line in path.read_text("ascii").splitlines():
        if line.startswith("  "):
            continue  # the licence
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        lemmas = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
        pointers = fields[5 + 2 * count :]
        pairs = zip(pointers[::4], pointers[1::4], strict=False)
        synsets[int(fields[0])] = lemmas, [int(offset) for symbol, offset in pairs if symbol in ("@", "@i")]
    return synsets


def hypernyms(synsets: dict[int, tuple[list[str], list[int]]], offset: int) -> list[str]:
    """The first usable lemma of each hypernym, nearest first."""
    names: list[str] = []
    level = synsets[offset][1]
    while level:
        for each in level:
            lemma = next((name.lower() for name in synsets[each][0] if usable(name.lower())), None)
            if lemma and lemma not in names:
                names.append(lemma)
        level = [further for each in level for further in synsets[each][1]]
    return names


def usable(name: str) -> bool:
    """Whether people would say this, and all of its words have vectors."""
    rows, unknown = shipped_words().find_rows(name)
    return bool(rows) and not unknown and name.removesuffix("s") not in LEFT_OUT and name not in LEFT_OUT


def main(wordnet: str, out: str) -> None:
    """Write the file."""
    synsets = read_synsets(Path(wordnet))
    licence = [
        line.strip().partition(" ")[2].strip()
        for line in Path(wordnet).read_text("ascii").splitlines()
        if line.startswith("  ")
    ]
    lines = ["# Names and hypernyms of ImageNet's 1,000 classes, from WordNet 3.0 (tools/class_names.py).\n", "#\n"]
    lines += [f"# {line}".rstrip() + "\n" for line in licence]
    for synset in ImageNetInfo("imagenet-1k").label_names():
        offset = int(synset[1:])
        lemmas = [lemma.lower() for lemma in synsets[offset][0]]
        names = [lemma for lemma in dict.fromkeys(lemmas) if not shipped_words().find_rows(lemma)[1]][:MAX_NAMES]
        above = [name for name in hypernyms(synsets, offset) if name not in names]
        lines.append(f"{synset}\t{'|'.join(names)}\t{'|'.join(above)}\n")
    Path(out).write_text("".join(lines), "ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
