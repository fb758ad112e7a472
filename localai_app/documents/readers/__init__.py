"""One reader per format: pure functions, bytes → pages. They run in the reader process alone. Where to look:

- which reader, and what holds for all: `dispatch` (chooses by `sniff`, keeps the limits), `refused`;
- text in the making: `lines` (a stretch with its marks), `parts` (blocks to pages), `encoding`;
- text formats: `plain`, `markdown`, `delimited` (CSV), `webpage` (HTML; what its styles hide:
  `webpage_styles`), `rtf` (`rtf_tokens`);
- mails: `mail` (EML), `outlook` (MSG; the web page inside its rich text: `rtf_html`);
- Office, all three: `ooxml` (packages and their XML) on `archive` (zip), `encrypted_office`, `drawing`
  (shapes, charts, SmartArt), `office_math`, `symbols` (symbol fonts);
- Word: `docx` (sections), `docx_body` (blocks), `docx_runs` (inside a paragraph), `docx_numbering`,
  `docx_styles`, `docx_notes` (footnotes, comments);
- Excel: `xlsx` (sheets), `xlsx_cells`, `number_format`; PowerPoint: `pptx`, `pptx_order` (reading order);
- PDF: `pdf` goes through a `pdf_file`, page by page (`pdf_page`). What is on it: `pdf_glyphs`, `pdf_rules`
  (lines, pictures), `pdf_fields` (forms, comments), `pdf_hidden`. What that makes: `pdf_layout` (lines in
  order), `pdf_words`, `pdf_tables`, `pdf_furniture` (headers), `pdf_blocks`, `pdf_text` (text and places).
  `pdf_render` draws;
- pictures: `ocr`, and `recogniser` for any picture of a page: `scan_models` (the networks), `scan_ink`
  (one line), `scan_text` (lines to text).
"""
