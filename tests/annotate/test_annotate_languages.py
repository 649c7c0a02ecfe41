"""The languages of both pages: every text has all of them, and no text is written anywhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotator import Server, make_folder
from page import Page, expect, needs_chromium, sync_api
from page_texts import FOLDERS, html_texts, pages, script_keys, script_texts, scripts

from saywhere.annotate.web.security import LANGUAGES
from saywhere.browser.write import SHARED

PLURALS = {"en": {"one", "other"}, "de": {"one", "other"}, "fr": {"one", "other"}, "es": {"one", "other"}}
Texts = dict[str, str | dict[str, str]]


def texts(folder: Path, language: str) -> Texts:
    return json.loads((folder / "i18n" / f"{language}.json").read_text(encoding="utf-8"))


def values(text: str | dict[str, str]) -> set[str]:
    """The names of the values that a text takes."""
    return set(re.findall(r"\{(\w+)\}", text if isinstance(text, str) else text["other"]))


# Shown where the modules that know the languages are not loaded: on file://.
WITHOUT_MODULES = 'A browser opens this page from a server only: run "python -m http.server" in its folder'
both_pages = pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS.keys())


class TestTexts:
    @both_pages
    def test_there_is_a_file_for_each_language(self, folder: Path) -> None:
        assert {path.stem for path in (folder / "i18n").iterdir()} == set(LANGUAGES)
        script = (SHARED / "i18n.js").read_text(encoding="utf-8")
        assert set(re.findall(r"\b([a-z]{2}): '", script.partition("LANGUAGES =")[2].partition("}")[0])) == {*LANGUAGES}

    @both_pages
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_language_has_the_same_keys_and_values(self, folder: Path, language: str) -> None:
        english, found = texts(folder, "en"), texts(folder, language)
        assert list(found) == sorted(english), "sorted, each once, the same in every language"
        for key, text in found.items():
            assert isinstance(text, dict) == isinstance(english[key], dict), key
            assert values(text) == values(english[key]), key
            if isinstance(text, dict):
                assert text.keys() == PLURALS.get(language, {"other"}), key
            assert all(part.strip() == part != "" for part in (text.values() if isinstance(text, dict) else [text]))

    @both_pages
    @pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
    def test_texts_are_translated(self, folder: Path, language: str) -> None:
        """What is the same in English is one word that the languages share, or has no word."""
        english = texts(folder, "en")
        same = [text for key, text in texts(folder, language).items() if text == english[key] and isinstance(text, str)]
        assert [text for text in same if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", text)] == []

    @both_pages
    def test_every_key_exists_and_is_used(self, folder: Path) -> None:
        known = set(texts(folder, "en"))
        used = {key for path in pages(folder) for key in html_texts(path)[1]}
        used |= {key for path in scripts(folder) for key in script_keys(path)}
        parts = {key[:-1] for key in used if key.endswith("*")}
        assert {key for key in used if not key.endswith("*")} <= known
        assert [part for part in parts if not any(key.startswith(part) for key in known)] == []
        named = "".join(path.read_text(encoding="utf-8") for path in scripts(folder))
        unused = {key for key in known - used if not key.startswith(tuple(parts)) and f"'{key}'" not in named}
        assert unused == set()

    @pytest.mark.parametrize("path", pages(), ids=lambda path: f"{path.parent.parent.name}-{path.name}")
    def test_no_text_is_written_in_the_pages(self, path: Path) -> None:
        assert [text for text in html_texts(path)[0] if not text.startswith(WITHOUT_MODULES)] == []

    @pytest.mark.parametrize("path", scripts(), ids=lambda path: f"{path.parent.parent.name}-{path.name}")
    def test_no_text_is_written_in_the_scripts(self, path: Path) -> None:
        assert list(script_texts(path)) == []

    def test_the_search_for_texts_finds_them(self, tmp_path: Path) -> None:
        script = tmp_path / "x.js"
        script.write_text(
            "session.notice('Nothing.');\nnode.title = 'Close';\nconst help = 'press any key';\n// not this one\n"
            "node.className = 'row shown';\nbyId('a').textContent = t('a.b');\nnode.ariaLabel = `Remove ${name}`;\n"
        )
        assert list(script_texts(script)) == ["Nothing.", "Close", "press any key", "Remove "]
        page = tmp_path / "x.html"
        page.write_text('<p>Text <kbd>Q</kbd></p><img alt="a picture"><b data-i18n="a.b"></b>')
        assert html_texts(page) == (["Text", "a picture"], ["a.b"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(make_folder(tmp_path_factory.mktemp("languages") / "photos"), "--label", "ball")
    yield made
    made.stop()


@needs_chromium
class TestPage:
    def test_the_browser_chooses_the_language_and_a_person_another_one(
        self, browser: sync_api.Browser, server: Server
    ) -> None:
        page = Page(browser, server, 1, locale="de-AT")
        expect(page.page.locator("html")).to_have_attribute("lang", "de")
        expect(page.page.locator("#accept span")).to_have_text("Annehmen und weiter")
        expect(page.page.locator("#undo")).to_have_attribute("title", "Rückgängig (Z)")
        page.page.locator(".language").select_option("fr")
        page.page.wait_for_selector("html[lang=fr]")
        page.shown(1)
        expect(page.page.locator("#phrase")).to_have_attribute("placeholder", re.compile("^nommez"))
        page.page.goto(f"{server.url}stats")
        page.page.wait_for_selector("html[lang=fr][data-ready]")
        expect(page.page.locator("h1")).to_have_text("Statistiques")
        page.close()

    def test_an_unknown_language_is_english(self, browser: sync_api.Browser, server: Server) -> None:
        page = Page(browser, server, 1, locale="fi-FI")
        expect(page.page.locator("html")).to_have_attribute("lang", "en")
        page.close()

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_plurals_and_numbers(self, browser: sync_api.Browser, server: Server, language: str) -> None:
        page = Page(browser, server, locale=language)
        script = """async () => { const { t } = await import('/static/i18n.js');
            return [1, 12345].map((count) => t('list.state-and-objects', { state: 's', count })); }"""
        expected = {
            "en": ["s, 1 object", "s, 12,345 objects"],
            "de": ["s, 1 Objekt", "s, 12.345 Objekte"],
            "fr": ["s, 1 objet", "s, 12\u202f345 objets"],
            "es": ["s, 1 objeto", "s, 12.345 objetos"],
            "zh": ["s\uff0c1 个对象", "s\uff0c12,345 个对象"],
        }
        assert page.page.evaluate(script) == expected[language]
        page.close()

    def test_the_login_page(self, browser: sync_api.Browser, tmp_path: Path) -> None:
        server = Server(make_folder(tmp_path / "photos"), "--host", "0.0.0.0", token="a-long-enough-token")
        server.url = f"http://127.0.0.1:{server.port}/"
        page = Page(browser, server, locale="es-MX")
        page.page.wait_for_selector("html[lang=es]")
        expect(page.page.locator("button.primary")).to_have_text("Abrir")
        page.page.locator("input").fill("guess")
        page.page.keyboard.press("Enter")
        page.page.wait_for_selector("text=Ese no era el token.")
        page.page.locator("input").fill("a-long-enough-token")
        page.page.keyboard.press("Enter")
        page.shown(1)
        page.close()
        server.stop()
