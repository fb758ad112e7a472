"""Languages are told apart, and words are found in other forms of themselves."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from localai_app.documents import languages

TEXTS = {
    "en": "The parties agree that this agreement shall be governed by the laws of the state.",
    "de": "Die Parteien vereinbaren, dass dieser Vertrag nach dem Recht des Landes ausgelegt wird.",
    "fr": "Les parties conviennent que le présent contrat est régi par le droit du pays.",
    "es": "Las partes acuerdan que este contrato se rige por las leyes del país en el que fue firmado.",
    "it": "Le parti convengono che il presente contratto è regolato dalla legge del paese.",
    "pt": "As partes concordam que este contrato é regido pelas leis do país em que foi assinado.",
    "nl": "De partijen komen overeen dat deze overeenkomst wordt beheerst door het recht van het land.",
    "sv": "Parterna är överens om att detta avtal ska tolkas enligt lagen i det land där det gäller.",
    "pl": "Strony zgadzają się, że niniejsza umowa podlega prawu kraju, w którym została podpisana.",
    "cs": "Strany se dohodly, že tato smlouva se řídí právem země, ve které byla podepsána.",
    "tr": "Taraflar bu sözleşmenin imzalandığı ülkenin yasalarına tabi olduğunu ve bunun için kabul eder.",
    "ru": "Стороны соглашаются, что этот договор регулируется законами страны, в которой он был подписан.",
    "uk": "Сторони погоджуються, що цей договір регулюється законами країни, в якій він був підписаний.",
    "ar": "يتفق الطرفان على أن هذا العقد يخضع لقوانين البلد الذي تم توقيعه فيه.",
    "fa": "طرفین موافقت می‌کنند که این قرارداد تابع قوانین کشوری است که در آن امضا شده است.",
    "zh": "双方同意本合同受签署地所在国家的法律管辖。",
    "ja": "両当事者は、本契約が署名された国の法律に準拠することに同意する。",
    "ko": "당사자들은 본 계약이 서명된 국가의 법률에 따른다는 데 동의한다.",
    "hi": "पक्ष सहमत हैं कि यह समझौता उस देश के कानूनों के अधीन है जिसमें इस पर हस्ताक्षर किए गए थे।",
    "el": "Τα μέρη συμφωνούν ότι η παρούσα σύμβαση διέπεται από το δίκαιο της χώρας στην οποία υπογράφηκε.",
    "th": "คู่สัญญาตกลงว่าสัญญานี้อยู่ภายใต้กฎหมายของประเทศ",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_language_is_told(language: str) -> None:
    assert languages.language_of(TEXTS[language]) == language


@pytest.mark.parametrize(
    "text", ["", " ", "1,452.40 2019", "Acme", "qzx vbnk wrtp qzx ghjk lmnp", "\x00\ud800"]
)
def test_where_nothing_tells_a_language_none_is_claimed(text: str) -> None:
    assert languages.language_of(text) == ""


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "Terminations", "terminated"),
        ("en", "the Company's", "the company’s"),
        ("de", "Verträge", "Vertrages"),
        ("de", "Müller", "MULLER"),
        ("fr", "l’assurance", "assurances"),
        ("es", "contratos", "contrato"),
        ("ru", "договоров", "Договор"),
        ("ru", "ещё", "еще"),
        ("ar", "الْعَقْد", "العقد"),
        ("en", "①２３", "123"),
        ("ar", "١٢٣", "123"),
        ("en", "$1,452.40", "1452.40"),
        ("de", "1.452,40 €", "1452,40"),
        ("fr", "250\u202f000", "250000"),
        ("en", "ﬁle", "file"),
    ],
)
def test_forms_of_a_word_are_the_same(language: str, one: str, other: str) -> None:
    assert languages.terms(one, language) == languages.terms(other, language) != []


@pytest.mark.parametrize(
    ("one", "other"), [("9.4", "94"), ("1.2.3", "123"), ("250,000", "250"), ("करना", "करनी"), ("cat", "dog")]
)
def test_other_words_are_others(one: str, other: str) -> None:
    assert languages.terms(one, "en") != languages.terms(other, "en")


def test_scripts_without_spaces_become_pairs_of_characters() -> None:
    assert languages.terms("东京大学2019年", "zh") == ["东京", "京大", "大学", "2019", "年"]
    assert set(languages.terms("京大", "")) <= set(languages.terms("东京大学", "zh"))


def test_words_hold_nothing_that_the_index_would_cut_or_a_query_would_mean() -> None:
    text = "".join(map(chr, range(1, 0x3000))) + 'x" OR y* NEAR(z) ^a -b {c}:d'
    for language in ("en", "de", "ar", "hi", ""):
        for term in languages.terms(text, language):
            assert all(character.isalnum() or ord(character) > 127 for character in term)
            assert term.isascii() is False or term == term.lower()


def test_threads_do_not_mix_up_their_words() -> None:
    texts = [" ".join(f"nationalization{end}{number}ally" for end in "abcdefgh") for number in "qrstuvwxyz"]
    texts = [text.replace(" ", f"{ending} ") for text in texts for ending in ("ings", "edly", "fulness")]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda text: languages.terms(text, "en"), texts * 4))
    finally:
        sys.setswitchinterval(interval)
    languages._stems.cache_clear()
    assert found == [languages.terms(text, "en") for text in texts * 4]


def test_the_words_that_only_join_others_are_known() -> None:
    assert languages.is_function_word("The", "en")
    assert languages.is_function_word("und", "de")
    assert not languages.is_function_word("contract", "en")
    assert not languages.is_function_word("the", "de")
