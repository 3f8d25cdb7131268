# mcufc - build, demo, test. `make help` lists what there is.
CC ?= cc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
BUILD ?= build

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes
ALL_CFLAGS = -std=c11 -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 \
	-ffp-contract=off $(WARN) $(CFLAGS) -I$(BUILD)/gen -MMD -MP
LDLIBS = -lprotobuf-c -lz -lm

DIRS = support ir ir/ops frontend/onnx frontend/dsl frontend/build passes \
	codegen compiler
SRC = $(sort $(foreach d,$(DIRS),$(wildcard $(d)/*.c)))
# plan_main.c is the other program
LIB_SRC = $(filter-out compiler/main.c compiler/plan_main.c,$(SRC))
KERNELS = $(sort $(wildcard runtime_stub/kernels/*.c))
GEN_OBJ = $(BUILD)/gen/kernels_embedded.o $(BUILD)/gen/onnx.pb-c.o
LIB_OBJ = $(LIB_SRC:%.c=$(BUILD)/%.o) $(GEN_OBJ)

all: $(BUILD)/mcufc

$(BUILD)/mcufc: $(BUILD)/compiler/main.o $(LIB_OBJ)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libmcufc.a: $(LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

# the interpreter's hot loops
$(BUILD)/ir/ops/dense.o: ALL_CFLAGS += -O3

$(BUILD)/%.o: %.c | $(BUILD)/gen/onnx.pb-c.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# ---- generated sources ------------------------------------------------------
$(BUILD)/gen/onnx.pb-c.h: frontend/onnx/onnx.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(BUILD)/gen -Ifrontend/onnx onnx.proto

$(BUILD)/gen/onnx.pb-c.o: $(BUILD)/gen/onnx.pb-c.h
	$(CC) -O2 -w -I$(BUILD)/gen -c -o $@ $(BUILD)/gen/onnx.pb-c.c

$(BUILD)/tools/embed: tools/embed.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $<

$(BUILD)/gen/kernels_embedded.c: $(BUILD)/tools/embed $(KERNELS)
	@mkdir -p $(@D)
	$(BUILD)/tools/embed $@ $(KERNELS)

$(BUILD)/gen/kernels_embedded.o: $(BUILD)/gen/kernels_embedded.c
	$(CC) -O0 -w -Icodegen -c -o $@ $<

include tests/Makefile.inc

clean:
	rm -rf $(BUILD)

.PHONY: all clean
.SUFFIXES:
-include $(LIB_SRC:%.c=$(BUILD)/%.d) $(BUILD)/compiler/main.d
