"""Draw the example pictures that the site offers: `make examples`. So no one's photos are published here."""

import math
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

EXAMPLES = Path(__file__).resolve().parent.parent / "static" / "examples"
WIDTH, HEIGHT = 1920, 1440  # as drawn; saved at a third, for smooth edges


def main() -> None:
    EXAMPLES.mkdir(exist_ok=True)
    for draw in (balloon, clock, envelope, traffic_light):
        small = draw().resize((WIDTH // 3, HEIGHT // 3), Image.Resampling.LANCZOS)
        small.save(EXAMPLES / f"{draw.__name__}.jpg", quality=85)


def traffic_light() -> Image.Image:
    """Red, above trees."""
    image = sky((120, 170, 230), (225, 235, 245))
    draw = ImageDraw.Draw(image)
    for x in range(-200, WIDTH + 200, 130):
        green = 70 + x * 37 % 50
        draw.circle((x, HEIGHT - 60 + x * 13 % 90), 190, fill=(30, green, 35))
    draw.rectangle((945, 900, 975, HEIGHT), fill=(70, 72, 75))
    draw.rectangle((800, 170, 1120, 950), fill=(240, 190, 30), outline=(60, 45, 10), width=8)
    for y, lit in ((310, (255, 40, 30)), (560, (80, 60, 15)), (810, (10, 60, 35))):
        draw.circle((960, y), 112, fill=(15, 15, 15))
        draw.circle((960, y), 92, fill=lit)
        draw.chord((840, y - 125, 1080, y + 60), 185, 355, fill=(25, 22, 12))
    glow = Image.new("RGB", image.size)
    ImageDraw.Draw(glow).circle((960, 310), 120, fill=(140, 20, 15))
    return Image.blend(image, ImageChops.screen(image, glow.filter(ImageFilter.GaussianBlur(60))), 0.7)


def balloon() -> Image.Image:
    """A hot-air balloon with stripes, above hills."""
    image = sky((70, 130, 220), (220, 235, 250))
    draw = ImageDraw.Draw(image)
    for x, colour in ((300, (70, 120, 60)), (1100, (85, 140, 70)), (1800, (60, 105, 55))):
        draw.ellipse((x - 900, HEIGHT - 190, x + 900, HEIGHT + 500), fill=colour)
    envelope_mask = Image.new("L", image.size)
    mask = ImageDraw.Draw(envelope_mask)
    mask.ellipse((600, 90, 1320, 810), fill=255)
    mask.polygon([(650, 620), (1270, 620), (1030, 1000), (890, 1000)], fill=255)
    stripes = Image.new("RGB", image.size, (200, 40, 40))
    for i, half in enumerate((330, 240, 150, 60)):
        colour = ((245, 200, 60), (200, 40, 40))[i % 2]
        ImageDraw.Draw(stripes).ellipse((960 - half, 0, 960 + half, 1100), fill=colour)
    shade = Image.radial_gradient("L").resize((1100, 1100)).point(lambda value: 255 - value // 3)
    stripes.paste(
        ImageChops.multiply(stripes.crop((350, -60, 1450, 1040)), Image.merge("RGB", [shade] * 3)), (350, -60)
    )
    image.paste(stripes, mask=envelope_mask)
    for x in (895, 940, 980, 1025):
        draw.line([(x, 1000), (960 + (x - 960) * 0.8, 1130)], (60, 45, 30), 5)
    draw.rounded_rectangle((890, 1120, 1030, 1230), 18, fill=(120, 80, 40))
    return image


def envelope() -> Image.Image:
    """A letter on a wooden table."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (150, 105, 65))
    draw = ImageDraw.Draw(image)
    for y in range(0, HEIGHT, 14):
        draw.line([(0, y), (WIDTH, y + y * 7 % 23 - 11)], (140 + y * 11 % 25, 95 + y * 5 % 20, 58), 8)
    paper, line = (244, 238, 224), (190, 180, 160)
    shadowed = Image.new("L", image.size)
    ImageDraw.Draw(shadowed).rectangle((330, 340, 1630, 1150), fill=130)
    image.paste((40, 25, 15), mask=shadowed.filter(ImageFilter.GaussianBlur(25)))
    draw.rectangle((310, 310, 1610, 1120), fill=paper)
    draw.line([(310, 1120), (840, 690), (1080, 690), (1610, 1120)], line, 7)
    draw.polygon([(310, 310), (1610, 310), (960, 800)], fill=(250, 245, 233), outline=line, width=7)
    return image


def sky(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image.Image:
    fade = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    return Image.composite(Image.new("RGB", fade.size, bottom), Image.new("RGB", fade.size, top), fade)


def clock() -> Image.Image:
    """A wall clock at ten past ten."""
    image = wall(WIDTH, HEIGHT)
    centre, radius = (WIDTH / 2, HEIGHT / 2), HEIGHT * 0.42
    image.paste((60, 50, 40), mask=shadow(image.size, centre, radius))
    draw = ImageDraw.Draw(image)
    draw.circle(centre, radius, fill=(58, 44, 34))
    draw.circle(centre, radius * 0.9, fill=(250, 248, 240))
    draw_dial(draw, centre, radius * 0.9)
    for degrees, length, thickness in ((305, 0.5, 0.04), (60, 0.75, 0.025)):
        draw.line([polar(centre, radius * -0.1, degrees), polar(centre, radius * length, degrees)], (20, 20, 20),
                  round(radius * thickness))  # fmt: skip
    return image


def wall(width: int, height: int) -> Image.Image:
    shade = Image.linear_gradient("L").resize((width, height)).point(lambda value: 205 - value // 5)
    return Image.merge("RGB", [shade, shade.point(lambda v: v - 8), shade.point(lambda v: v - 22)])


def shadow(size: tuple[int, int], centre: tuple[float, float], radius: float) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).circle((centre[0] + radius * 0.05, centre[1] + radius * 0.07), radius, fill=140)
    return mask.filter(ImageFilter.GaussianBlur(radius * 0.05))


def draw_dial(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float) -> None:
    font = ImageFont.load_default(size=radius * 0.22)
    for minute in range(60):
        inner, thickness = (0.86, 0.02) if minute % 5 == 0 else (0.92, 0.007)
        ends = [polar(centre, radius * inner, minute * 6), polar(centre, radius * 0.96, minute * 6)]
        draw.line(ends, (30, 30, 30), round(radius * thickness))
    for hour in range(1, 13):
        draw.text(polar(centre, radius * 0.72, hour * 30), str(hour), (25, 25, 25), font, anchor="mm")


def polar(centre: tuple[float, float], radius: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return centre[0] + radius * math.sin(angle), centre[1] - radius * math.cos(angle)


if __name__ == "__main__":
    main()
