# Every target sets itself up first: packaging/set_up.py makes .venv from the lock files and fetches
# the models. Works with GNU and BSD make; Windows uses packaging/set_up.py directly (README.md).

PYTHON ?= python3
MINUTES ?= 20
TARGET ?= linux
PACK ?= cpu
QUICK = not real and not hostile and not long and not packaged
BIN = .venv/bin
UV = uv==0.13.8
COMPILE = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate

help:
	@echo "make run        start the app (the first time sets everything up)"
	@echo "make ocr        add text recognition for scans and pictures (about 260 MB)"
	@echo "make test       set up and run all tests, headless"
	@echo "make check      lint, types and the architecture rules"
	@echo "make bench      measure speed against the rivals; JSON in .bench/"
	@echo "make test-real  slow checks on a 1.5-billion-parameter model"
	@echo "make embedding-model  make the model that searches (run and test do it too)"
	@echo "make soak       random load on the engine for MINUTES=20; fails when memory grows"
	@echo "make test-hostile  give 2,000 damaged models to the engine (about 15 minutes)"
	@echo "make test-long  3,000 damaged documents, 1,050 tasks on a scripted model (about 20 minutes)"
	@echo "make bundle     freeze the app into dist/; make deb makes the Debian packages of it"
	@echo "make appimage   the app as one file, with RUNTIME=FILE from the AppImage project"
	@echo "make msi        freeze the app for Windows (needs Wine 10) and make its installer package"
	@echo "make kit        one folder for a site without a connection, of the packages that were made"
	@echo "make pkg        freeze the app for macOS (on a Mac) and make its installer package"
	@echo "make sbom       list and check what was frozen: bill of materials, licences"
	@echo "make release    sign what was built, with the keys that are there; bills and SHA256SUMS"
	@echo "make test-packages  install what was built and use it (after make deb)"
	@echo "make engine     build llama.cpp for every processor (TARGET=linux|windows PACK=cpu|cuda|vulkan)"
	@echo "make engine-key make the key that signs engine packs; packaging/sign_engine.py uses it"
	@echo "make catalogue  build and sign the model catalogue; catalogue-key makes a signing key"
	@echo "make format     let ruff format and fix"
	@echo "make lock       pin the dependencies anew"
	@echo "make clean      remove what make made; models and chats stay"

run:
	@$(PYTHON) packaging/set_up.py run

ocr:
	@$(PYTHON) packaging/set_up.py ocr

test:
	@$(PYTHON) packaging/set_up.py test
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n 2 --dist loadfile -m "$(QUICK) and not engine"
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -m "$(QUICK) and engine"

test-real:
	@$(PYTHON) packaging/set_up.py real
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -m real

soak:
	@$(PYTHON) packaging/set_up.py test
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

test-hostile:
	@$(PYTHON) packaging/set_up.py test
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -s -m hostile

test-long:
	@$(PYTHON) packaging/set_up.py test
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -s -m long

msi:
	@$(PYTHON) packaging/set_up.py test
	$(BIN)/python -m pip install --quiet "$(UV)"
	$(BIN)/python packaging/windows/cross_bundle.py
	$(BIN)/python packaging/sbom.py dist/windows/localai-app
	$(BIN)/python packaging/windows/make_msi.py
	$(BIN)/python packaging/windows/make_msi.py --slim

test-packages:
	@$(PYTHON) packaging/set_up.py test
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -s -m packaged

bundle:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/python packaging/bundle.py
	$(BIN)/python packaging/sbom.py dist/linux/localai-app

deb: bundle
	$(BIN)/python packaging/make_deb.py app
	$(BIN)/python packaging/make_deb.py models
	$(BIN)/python packaging/bundle.py --ocr
	$(BIN)/python packaging/make_deb.py ocr

appimage: bundle
	$(BIN)/python packaging/make_appimage.py --runtime "$(RUNTIME)"

kit:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/python packaging/offline_kit.py

pkg:
	@$(PYTHON) packaging/set_up.py test
	$(BIN)/python packaging/macos/make_pkg.py

sbom:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/python packaging/list_licences.py --check
	@for bundle in dist/*/localai-app; do $(BIN)/python packaging/sbom.py "$$bundle" || exit 1; done
	@for part in dist/*/localai-app-ocr; do [ ! -d "$$part" ] || $(BIN)/python packaging/sbom.py --check "$$part" || exit 1; done

release:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/python packaging/release.py

engine:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/python packaging/build_engine.py --target $(TARGET) --pack $(PACK)

engine-key:
	@$(PYTHON) packaging/set_up.py check
	@$(BIN)/python packaging/sign_engine.py --new-key

catalogue:
	@$(PYTHON) packaging/set_up.py check
	@$(BIN)/python packaging/make_catalogue.py

catalogue-key:
	@$(PYTHON) packaging/set_up.py check
	@$(BIN)/python packaging/make_catalogue.py --new-key

check:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench:
	@$(PYTHON) packaging/set_up.py test
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -m tests.bench

embedding-model:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/python packaging/make_embedding_model.py

format:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	@$(PYTHON) packaging/set_up.py check
	$(BIN)/python -m pip install --quiet "$(UV)"
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra ocr pyproject.toml -o requirements-ocr.lock
	$(COMPILE) --extra dev pyproject.toml -o requirements-dev.lock
	$(COMPILE) packaging/build-requirements.in -o requirements-build.lock

clean:
	rm -rf .venv .bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find localai_app tests packaging -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help engine engine-key run ocr test pkg sbom release bundle deb appimage kit msi test-real soak test-hostile test-long catalogue catalogue-key check bench embedding-model format lock clean
