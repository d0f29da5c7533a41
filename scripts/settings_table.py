"""Write the table of settings in docs/configuration.md: `make settings`."""

import re

from web.settings import ROOT, table

PAGE = ROOT / "docs" / "configuration.md"


def main() -> None:
    page = PAGE.read_text("utf-8")
    between_markers = r"(?s)(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)"
    PAGE.write_text(re.sub(between_markers, lambda _: table() + "\n", page), "utf-8")


if __name__ == "__main__":
    main()
