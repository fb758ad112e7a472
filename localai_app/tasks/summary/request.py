"""How the main points of a text are asked for: in the text's own language.

Small models answer in the language of the last line that they read, whatever it says about languages. So that
line is in the language of the document, where it is one of these; the instruction before the text is the same
for all documents.
"""

_REQUESTS = {
    "ar": (
        "أهم ما في النص أعلاه، باللغة العربية، في جملة قصيرة واحدة:",
        "أهم ما في النص أعلاه، باللغة العربية، في قائمة من {points} جمل قصيرة:",
    ),
    "cs": (
        "To nejdůležitější z textu výše, česky, jednou krátkou větou:",
        "To nejdůležitější z textu výše, česky, jako seznam {points} krátkých vět:",
    ),
    "de": (
        "Das Wichtigste aus dem Text oben, auf Deutsch, in einem kurzen Satz:",
        "Das Wichtigste aus dem Text oben, auf Deutsch, als Liste von {points} kurzen Sätzen:",
    ),
    "en": (
        "The most important point of the text above, in English, as one short sentence:",
        "The {points} most important points of the text above, in English, as a list of {points} short "
        "sentences:",
    ),
    "es": (
        "Lo más importante del texto anterior, en español, en una frase corta:",
        "Lo más importante del texto anterior, en español, en una lista de {points} frases cortas:",
    ),
    "fr": (
        "L'essentiel du texte ci-dessus, en français, en une phrase courte :",
        "L'essentiel du texte ci-dessus, en français, en une liste de {points} phrases courtes :",
    ),
    "it": (
        "Il più importante del testo sopra, in italiano, in una frase breve:",
        "I punti più importanti del testo sopra, in italiano, in un elenco di {points} frasi brevi:",
    ),
    "ja": (
        "上の文章の要点を、日本語で、短い一文で：",
        "上の文章の要点を、日本語で、{points}つの短い文の箇条書きで：",
    ),
    "ko": (
        "위 글의 핵심을, 한국어로, 짧은 한 문장으로:",
        "위 글의 핵심을, 한국어로, 짧은 문장 {points}개의 목록으로:",
    ),
    "nl": (
        "Het belangrijkste uit de tekst hierboven, in het Nederlands, in één korte zin:",
        "Het belangrijkste uit de tekst hierboven, in het Nederlands, als lijst van {points} korte zinnen:",
    ),
    "pl": (
        "Najważniejsze z powyższego tekstu, po polsku, w jednym krótkim zdaniu:",
        "Najważniejsze z powyższego tekstu, po polsku, jako lista {points} krótkich zdań:",
    ),
    "pt": (
        "O mais importante do texto acima, em português, numa frase curta:",
        "O mais importante do texto acima, em português, numa lista de {points} frases curtas:",
    ),
    "ru": (
        "Самое важное из текста выше, на русском языке, одним коротким предложением:",
        "Самое важное из текста выше, на русском языке, списком из {points} коротких предложений:",
    ),
    "sv": (
        "Det viktigaste ur texten ovan, på svenska, i en kort mening:",
        "Det viktigaste ur texten ovan, på svenska, som en lista med {points} korta meningar:",
    ),
    "tr": (
        "Yukarıdaki metnin en önemli noktası, Türkçe, tek kısa cümleyle:",
        "Yukarıdaki metnin en önemli noktaları, Türkçe, {points} kısa cümlelik bir liste olarak:",
    ),
    "uk": (
        "Найважливіше з тексту вище, українською мовою, одним коротким реченням:",
        "Найважливіше з тексту вище, українською мовою, списком із {points} коротких речень:",
    ),
    "zh": ("以上文字的要点，用中文写成一个短句：", "以上文字的要点，用中文列出{points}个短句："),
}
"""For one point, and for several."""


def request(points: int, language: str, name: str) -> str:
    """The line that asks for so many points in ``language`` (ISO 639-1), which is called ``name`` in English;
    both may be empty."""
    one, several = _REQUESTS.get(language, _REQUESTS["en"])
    line = one if points == 1 else several.format(points=points)
    if language in _REQUESTS:
        return line
    return line.replace("in English", f"in {name}" if name else "in the language of the text")
