// The door to OpenJPH: the header of an HTJ2K codestream, one decoded image, one encoded image.
//
// OpenJPH reports by exceptions, which end here. It warns where it skips what it does not understand and goes on;
// pixels that it disclaims are no pixels, so its warnings are errors too.

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>

#include <ojph_arch.h>
#include <ojph_codestream.h>
#include <ojph_file.h>
#include <ojph_mem.h>
#include <ojph_message.h>
#include <ojph_params.h>

namespace {

constexpr size_t MESSAGE_LEN = 200;

void report(const char *fmt, va_list args) {
  char text[MESSAGE_LEN];
  vsnprintf(text, sizeof text, fmt, args);
  throw std::runtime_error(text);
}

class error_door : public ojph::message_error {
 public:
  void operator()(int, const char *, int, const char *fmt, ...) override {
    va_list args;
    va_start(args, fmt);
    report(fmt, args);
    va_end(args);
  }
};

class warning_door : public ojph::message_warning {
 public:
  void operator()(int, const char *, int, const char *fmt, ...) override {
    va_list args;
    va_start(args, fmt);
    report(fmt, args);
    va_end(args);
  }
};

class info_door : public ojph::message_info {
 public:
  void operator()(int, const char *, int, const char *, ...) override {}
};

error_door errors;
warning_door warnings;
info_door infos;

void listen() {
  ojph::configure_error(&errors);
  ojph::configure_warning(&warnings);
  ojph::configure_info(&infos);
}

}  // namespace

extern "C" {

struct khoanh_htj2k {
  uint32_t rows, columns, components, precision, is_signed, reversible, colour_transform;
};
}

namespace {

void describe(ojph::codestream &codestream, khoanh_htj2k *found) {
  ojph::param_siz siz = codestream.access_siz();
  ojph::param_cod cod = codestream.access_cod();
  const ojph::point extent = siz.get_image_extent(), offset = siz.get_image_offset();
  if (extent.x <= offset.x || extent.y <= offset.y) throw std::runtime_error("an image without pixels");
  std::memset(found, 0, sizeof *found);
  found->rows = extent.y - offset.y;
  found->columns = extent.x - offset.x;
  found->components = siz.get_num_components();
  if (found->components == 0) throw std::runtime_error("an image without components");
  found->precision = siz.get_bit_depth(0);
  found->is_signed = siz.is_signed(0) ? 1 : 0;
  found->reversible = cod.is_reversible() ? 1 : 0;
  found->colour_transform = cod.is_using_color_transform() ? 1 : 0;
  for (uint32_t i = 0; i < found->components; i++) {
    const ojph::point steps = siz.get_downsampling(i);
    if (steps.x != 1 || steps.y != 1) throw std::runtime_error("a component with fewer samples than pixels");
    if (siz.get_bit_depth(i) != found->precision || (siz.is_signed(i) ? 1u : 0u) != found->is_signed)
      throw std::runtime_error("components of different bits");
  }
}

void say(char *message, const char *what) { snprintf(message, MESSAGE_LEN, "%s", what); }

}  // namespace

extern "C" {

// Reads the header. 0, or 1 with a message.
int khoanh_htj2k_header(const uint8_t *in, size_t len, khoanh_htj2k *found, char *message) {
  try {
    listen();
    ojph::mem_infile file;
    file.open(in, len);
    ojph::codestream codestream;
    codestream.read_headers(&file);
    describe(codestream, found);
    codestream.close();
    return 0;
  } catch (const std::exception &error) {
    say(message, error.what());
  } catch (...) {
    say(message, "an unknown error");
  }
  return 1;
}

// Decodes an image whose header was `expected`, components of a pixel together. 0, or 1 with a message.
int khoanh_htj2k_decode(const uint8_t *in, size_t len, const khoanh_htj2k *expected, int32_t *out, size_t samples,
                        char *message) {
  try {
    listen();
    ojph::mem_infile file;
    file.open(in, len);
    ojph::codestream codestream;
    codestream.read_headers(&file);
    khoanh_htj2k found;
    describe(codestream, &found);
    const size_t row = (size_t)found.columns * found.components;
    if (std::memcmp(&found, expected, sizeof found) != 0 || row * found.rows != samples)
      throw std::runtime_error("the header changed");
    codestream.set_planar(false);
    codestream.create();
    for (uint32_t y = 0; y < found.rows; y++) {
      for (uint32_t i = 0; i < found.components; i++) {
        ojph::ui32 component = 0;
        ojph::line_buf *line = codestream.pull(component);
        if (line == nullptr || component != i || line->size < found.columns)
          throw std::runtime_error("the image ends early");
        const ojph::si32 *from = line->i32;
        int32_t *to = out + row * y + i;
        for (uint32_t x = 0; x < found.columns; x++, to += found.components) *to = from[x];
      }
    }
    codestream.close();
    return 0;
  } catch (const std::exception &error) {
    say(message, error.what());
  } catch (...) {
    say(message, "an unknown error");
  }
  return 1;
}

// Encodes losslessly in order of resolution, one tile part for each, with a table of their lengths. 0 with memory
// for `khoanh_htj2k_free`, or 1 with a message.
int khoanh_htj2k_encode(const int32_t *in, const khoanh_htj2k *image, uint32_t decompositions, uint8_t **out,
                        size_t *out_len, char *message) {
  try {
    listen();
    ojph::codestream codestream;
    ojph::param_siz siz = codestream.access_siz();
    siz.set_image_extent(ojph::point(image->columns, image->rows));
    siz.set_num_components(image->components);
    for (uint32_t i = 0; i < image->components; i++)
      siz.set_component(i, ojph::point(1, 1), image->precision, image->is_signed != 0);
    siz.set_image_offset(ojph::point(0, 0));
    siz.set_tile_size(ojph::size(image->columns, image->rows));
    siz.set_tile_offset(ojph::point(0, 0));
    ojph::param_cod cod = codestream.access_cod();
    cod.set_num_decomposition(decompositions);
    cod.set_block_dims(64, 64);
    cod.set_progression_order("RPCL");
    cod.set_color_transform(image->colour_transform != 0);
    cod.set_reversible(true);
    codestream.set_tilepart_divisions(true, false);
    codestream.request_tlm_marker(true);
    codestream.set_planar(false);
    ojph::mem_outfile file;
    file.open();
    codestream.write_headers(&file);
    const size_t row = (size_t)image->columns * image->components;
    ojph::ui32 next = 0;
    ojph::line_buf *line = codestream.exchange(nullptr, next);
    for (uint32_t y = 0; y < image->rows; y++) {
      for (uint32_t i = 0; i < image->components; i++) {
        if (line == nullptr || next != i) throw std::runtime_error("components are asked in another order");
        const int32_t *from = in + row * y + i;
        ojph::si32 *to = line->i32;
        for (uint32_t x = 0; x < image->columns; x++, from += image->components) to[x] = *from;
        line = codestream.exchange(line, next);
      }
    }
    codestream.flush();
    const size_t len = (size_t)file.tell();
    uint8_t *copy = static_cast<uint8_t *>(std::malloc(len == 0 ? 1 : len));
    if (copy == nullptr) throw std::runtime_error("no memory");
    std::memcpy(copy, file.get_data(), len);
    codestream.close();
    *out = copy;
    *out_len = len;
    return 0;
  } catch (const std::exception &error) {
    say(message, error.what());
  } catch (...) {
    say(message, "an unknown error");
  }
  return 1;
}

void khoanh_htj2k_free(uint8_t *memory) { std::free(memory); }
}
