/* mistake.c - files that people take for ONNX models, known by their first
 * bytes: a hint says what they are and what to do. */
#include "load.h"

#include <string.h>

static const struct {
    int at, n;                  /* where the bytes are */
    const char *bytes, *hint;
} kinds[] = {
    { 0, 19, "version https://git", "this is a Git LFS pointer, not the file "
      "itself: fetch it with `git lfs pull`" },
    { 0, 4, "PK\3\4", "this is a zip archive, such as a PyTorch checkpoint: "
      "export the model with torch.onnx.export first" },
    { 0, 2, "\x80\2", "this is a pickle, such as an old PyTorch checkpoint: "
      "export the model with torch.onnx.export first" },
    { 4, 4, "TFL3", "this is a TensorFlow Lite model: convert it with "
      "tf2onnx first" },
    { 4, 4, "ORTM", "this is ONNX Runtime's own format: compile the .onnx "
      "file it was made from" },
    { 0, 4, "\x89HDF", "this is an HDF5 file, such as a Keras model: convert "
      "it with tf2onnx first" },
    { 0, 4, "GGUF", "this is a GGUF file: export the model as ONNX" },
    { 8, 2, "{\"", "this looks like a safetensors file: it holds weights "
      "and no graph" },
    { 0, 2, "\x1f\x8b", "this is a gzip archive: unpack it first" },
    { 0, 9, "<!DOCTYPE", "this is a web page: the download went wrong" },
    { 0, 5, "<html", "this is a web page: the download went wrong" },
    { 0, 6, "\x93NUMPY", "this is a numpy array" },
};

void mistake_hint(Diag *diag, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= (size_t)(kinds[i].at + kinds[i].n) &&
            !memcmp(p + kinds[i].at, kinds[i].bytes, (size_t)kinds[i].n)) {
            diag_hint(diag, "%s", kinds[i].hint);
            return;
        }
}
