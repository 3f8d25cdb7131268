# mcufc - build, demo, test. `make help` lists what there is.
CC ?= cc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
BUILD ?= build
# a line per file; `make V=1` shows the commands
ifeq ($(V)$(findstring s,$(firstword -$(MAKEFLAGS))),)
Q = @echo "  $@";
endif

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes
ALL_CFLAGS = -std=c11 -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 \
	-ffp-contract=off $(WARN) $(CFLAGS) -I$(BUILD)/gen -MMD -MP
LDLIBS = -lprotobuf-c -lz -llapacke -lm

DIRS = support ir ir/ops frontend/onnx frontend/dsl frontend/build passes ptq compress \
	codegen compiler
SRC = $(sort $(foreach d,$(DIRS),$(wildcard $(d)/*.c)))
# plan_main.c is the other program
LIB_SRC = $(filter-out compiler/main.c compiler/plan_main.c,$(SRC))
KERNELS = $(sort $(wildcard runtime_stub/kernels/*.c))
# the HTML report, in the order of its parts
PAGE = $(addprefix codegen/page/,page.html page.css data.js chart.js \
	story.js tables.js page.js)
BOARDS = $(addprefix runtime_stub/boards/,board.h board.c board.ld host.c count.c)
GEN_OBJ = $(BUILD)/gen/kernels_embedded.o $(BUILD)/gen/page_embedded.o \
	$(BUILD)/gen/boards_embedded.o \
	$(BUILD)/gen/onnx.pb-c.o $(BUILD)/gen/text_parse.o $(BUILD)/gen/text_lex.o
LIB_OBJ = $(LIB_SRC:%.c=$(BUILD)/%.o) $(GEN_OBJ)

all: $(BUILD)/mcufc $(BUILD)/mcufc-plan

# the allocator alone
PLAN_OBJ = $(BUILD)/compiler/plan_main.o $(patsubst %.c,$(BUILD)/%.o,\
	$(wildcard passes/dsa*.c)) $(BUILD)/support/arena.o \
	$(BUILD)/support/buf.o $(BUILD)/support/map.o

$(BUILD)/mcufc-plan: $(PLAN_OBJ)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/mcufc: $(BUILD)/compiler/main.o $(LIB_OBJ)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libmcufc.a: $(LIB_OBJ)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# the interpreter's hot loops
$(BUILD)/ir/ops/dense.o: ALL_CFLAGS += -O3

$(BUILD)/%.o: %.c | $(BUILD)/gen/onnx.pb-c.h $(BUILD)/gen/text_parse.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Generated sources.
$(BUILD)/gen/onnx.pb-c.h: frontend/onnx/onnx.proto
	@mkdir -p $(@D)
	$(Q)protoc-c --c_out=$(BUILD)/gen -Ifrontend/onnx onnx.proto

$(BUILD)/gen/text_parse.h: frontend/dsl/parse.y
	@mkdir -p $(@D)
	$(Q)bison -Wall -Wno-yacc --defines=$@ -o $(BUILD)/gen/text_parse.c $<

$(BUILD)/gen/text_lex.c: frontend/dsl/lex.l
	@mkdir -p $(@D)
	$(Q)flex -Cf -o $@ $<

$(BUILD)/gen/text_%.o: $(BUILD)/gen/text_%.c frontend/dsl/text.h \
		$(BUILD)/gen/text_parse.h
	$(Q)$(CC) $(ALL_CFLAGS) -Ifrontend/dsl -c -o $@ $<

$(BUILD)/gen/text_parse.c: $(BUILD)/gen/text_parse.h

$(BUILD)/gen/onnx.pb-c.o: $(BUILD)/gen/onnx.pb-c.h
	$(Q)$(CC) -O2 -w -I$(BUILD)/gen -c -o $@ $(BUILD)/gen/onnx.pb-c.c

$(BUILD)/tools/embed: tools/embed.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $<

$(BUILD)/gen/kernels_embedded.c: $(BUILD)/tools/embed $(KERNELS)
	@mkdir -p $(@D)
	$(Q)$(BUILD)/tools/embed $@ kernel_files $(KERNELS)

$(BUILD)/gen/page_embedded.c: $(BUILD)/tools/embed $(PAGE)
	@mkdir -p $(@D)
	$(Q)$(BUILD)/tools/embed $@ page_files $(PAGE)

$(BUILD)/gen/boards_embedded.c: $(BUILD)/tools/embed $(BOARDS)
	@mkdir -p $(@D)
	$(Q)$(BUILD)/tools/embed $@ board_files $(BOARDS)

$(BUILD)/gen/%_embedded.o: $(BUILD)/gen/%_embedded.c codegen/kernels.h
	$(Q)$(CC) -O0 -w -Icodegen -c -o $@ $<

include tests/Makefile.inc

# For people.
help:
	@echo "make            build/mcufc and build/mcufc-plan"
	@echo "make demo       compile the bundled vision transformer and run it"
	@echo "make demo-matvit, demo-mcuformer   the same for nested widths,"
	@echo "                and for layers of low rank"
	@echo "make check      all tests (under 20 minutes on two cores)"
	@echo "make check-long fuzzing and sweeps"
	@echo "make bench      speed against ONNX Runtime, where it is installed"
	@echo "make deps       install missing Debian packages"
	@echo "make install    mcufc and its manual page below PREFIX"

deps:
	@tools/deps.sh

deps-check:
	@tools/deps.sh check

demo: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@examples/vit-mnist/demo.sh $(BUILD)

demo-matvit demo-mcuformer: demo-%: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@examples/$*/demo.sh $(BUILD)

check: deps-check
	@$(MAKE) --no-print-directory -j$$(nproc) all test-programs
	@tests/check.sh $(BUILD)

check-long: deps-check
	@$(MAKE) --no-print-directory -j$$(nproc) all test-programs
	@tests/check.sh $(BUILD) long

# PYTHON: one that has numpy and, for the comparison, onnxruntime
PYTHON ?= python3
BENCH_MODELS ?= $(wildcard examples/vit-mnist/*.onnx \
	../shared/models/shapes/*.onnx)

bench: all
	$(PYTHON) bench/bench.py $(BUILD) $(BENCH_MODELS)
	$(PYTHON) bench/bench.py $(BUILD) --int8 $(BENCH_MODELS)

# how fast the text form is read
$(BUILD)/bench/text: $(BUILD)/bench/text.o $(LIB_OBJ)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

bench-text: $(BUILD)/bench/text
	@$(BUILD)/bench/text

# siblings never include each other
layers:
	@tests/layers.sh

$(BUILD)/mcufc.1: $(BUILD)/mcufc tools/man.sh
	tools/man.sh $(BUILD)/mcufc > $@

doc/ops.md: $(BUILD)/mcufc
	$(BUILD)/mcufc --ops > $@

install: all $(BUILD)/mcufc.1
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/mcufc $(BUILD)/mcufc-plan \
		$(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/mcufc.1 \
		$(DESTDIR)$(PREFIX)/share/man/man1/mcufc.1

clean:
	rm -rf $(BUILD)

.PHONY: all help deps deps-check bench demo demo-matvit demo-mcuformer check check-long layers install clean
.SUFFIXES:
-include $(LIB_SRC:%.c=$(BUILD)/%.d) $(BUILD)/compiler/main.d \
	$(BUILD)/compiler/plan_main.d
