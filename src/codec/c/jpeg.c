/* The door to libjpeg-turbo: a header, or one decoded image, without colour conversion.
 *
 * libjpeg reports errors by a jump, which only C can do. Everything is checked here against what the caller
 * expects before memory for pixels is asked; warnings that mean missing or wrong pixels are errors.
 * Odd spectral parameters of a sequential scan are none: old encoders wrote them, and nothing is read by them. */

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#define MESSAGE_LEN 200
#define SCANS_MAX 500

struct khoanh_jpeg {
  uint32_t rows, columns, components, precision;
  uint32_t colour;      /* J_COLOR_SPACE of the codestream */
  uint32_t jfif;        /* a JFIF marker was seen */
  uint32_t adobe;       /* 0: no Adobe marker, else 1 + its transform */
  uint32_t letter_ids;  /* components are called R, G and B */
  uint32_t progressive;
};

struct door {
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf out;
  char *message;
};

static void leave(j_common_ptr cinfo) {
  struct door *door = (struct door *)cinfo->err;
  char text[JMSG_LENGTH_MAX];
  (*cinfo->err->format_message)(cinfo, text);
  snprintf(door->message, MESSAGE_LEN, "%s", text);
  longjmp(door->out, 1);
}

static void note(j_common_ptr cinfo, int level) {
  if (level >= 0) return;
  switch (cinfo->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_MUST_RESYNC:
      leave(cinfo);
      break;
    case JWRN_JPEG_EOF:
      /* Between the scans of a progressive image this means that later scans are missing. */
      if (cinfo->is_decompressor && ((j_decompress_ptr)cinfo)->progressive_mode) leave(cinfo);
      break;
    default:
      break;
  }
}

static void quiet(j_common_ptr cinfo) { (void)cinfo; }

static void count_scans(j_common_ptr cinfo) {
  struct door *door = (struct door *)cinfo->err;
  if (cinfo->is_decompressor && ((j_decompress_ptr)cinfo)->input_scan_number > SCANS_MAX) {
    snprintf(door->message, MESSAGE_LEN, "more than %d scans", SCANS_MAX);
    longjmp(door->out, 1);
  }
}

static void enter(struct jpeg_decompress_struct *cinfo, struct door *door, char *message) {
  memset(cinfo, 0, sizeof *cinfo);
  memset(door, 0, sizeof *door);
  door->message = message;
  message[0] = 0;
  cinfo->err = jpeg_std_error(&door->errors);
  door->errors.error_exit = leave;
  door->errors.emit_message = note;
  door->errors.output_message = quiet;
}

static void start(struct jpeg_decompress_struct *cinfo, struct door *door, const unsigned char *in, size_t len) {
  jpeg_create_decompress(cinfo);
  door->progress.progress_monitor = count_scans;
  cinfo->progress = &door->progress;
  jpeg_mem_src(cinfo, in, (unsigned long)len);
  jpeg_read_header(cinfo, TRUE);
}

static void describe(const struct jpeg_decompress_struct *cinfo, struct khoanh_jpeg *found) {
  static const int upper[3] = { 'R', 'G', 'B' }, lower[3] = { 'r', 'g', 'b' };
  int i, is_upper = 1, is_lower = 1;
  memset(found, 0, sizeof *found);
  found->rows = cinfo->image_height;
  found->columns = cinfo->image_width;
  found->components = (uint32_t)cinfo->num_components;
  found->precision = (uint32_t)cinfo->data_precision;
  found->colour = (uint32_t)cinfo->jpeg_color_space;
  found->jfif = cinfo->saw_JFIF_marker ? 1 : 0;
  found->adobe = cinfo->saw_Adobe_marker ? 1u + cinfo->Adobe_transform : 0;
  found->progressive = cinfo->progressive_mode ? 1 : 0;
  for (i = 0; i < 3 && cinfo->num_components == 3; i++) {
    is_upper = is_upper && cinfo->comp_info[i].component_id == upper[i];
    is_lower = is_lower && cinfo->comp_info[i].component_id == lower[i];
  }
  found->letter_ids = cinfo->num_components == 3 && (is_upper || is_lower);
}

/* Reads the header. 0, or 1 with a message. */
int khoanh_jpeg_header(const unsigned char *in, size_t len, struct khoanh_jpeg *found, char *message) {
  struct jpeg_decompress_struct cinfo;
  struct door door;
  enter(&cinfo, &door, message);
  if (setjmp(door.out)) {
    jpeg_destroy_decompress(&cinfo);
    return 1;
  }
  start(&cinfo, &door, in, len);
  describe(&cinfo, found);
  jpeg_destroy_decompress(&cinfo);
  return 0;
}

/* Decodes an image whose header was `expected` into `samples` values, components of a pixel together: of 8 bits
 * where the precision is at most 8, of 16 bits else. 0, or 1 with a message. */
int khoanh_jpeg_decode(const unsigned char *in, size_t len, const struct khoanh_jpeg *expected, void *out,
                       size_t samples, char *message) {
  struct jpeg_decompress_struct cinfo;
  struct khoanh_jpeg found;
  struct door door;
  size_t row;
  enter(&cinfo, &door, message);
  if (setjmp(door.out)) {
    jpeg_destroy_decompress(&cinfo);
    return 1;
  }
  start(&cinfo, &door, in, len);
  describe(&cinfo, &found);
  cinfo.out_color_space = cinfo.jpeg_color_space;
  cinfo.dct_method = JDCT_ISLOW;
  row = (size_t)found.columns * found.components;
  if (memcmp(&found, expected, sizeof found) != 0 || row * found.rows != samples) {
    snprintf(message, MESSAGE_LEN, "the header changed");
    longjmp(door.out, 1);
  }
  jpeg_start_decompress(&cinfo);
  if (cinfo.output_width != found.columns || (uint32_t)cinfo.output_components != found.components) {
    snprintf(message, MESSAGE_LEN, "components that are not decoded one by one");
    longjmp(door.out, 1);
  }
  while (cinfo.output_scanline < cinfo.output_height) {
    size_t at = row * cinfo.output_scanline;
    JDIMENSION got;
    if (found.precision <= 8) {
      JSAMPROW line = (JSAMPROW)out + at;
      got = jpeg_read_scanlines(&cinfo, &line, 1);
    } else if (found.precision <= 12) {
      J12SAMPROW line = (J12SAMPROW)out + at;
      got = jpeg12_read_scanlines(&cinfo, &line, 1);
    } else {
      J16SAMPROW line = (J16SAMPROW)out + at;
      got = jpeg16_read_scanlines(&cinfo, &line, 1);
    }
    if (got != 1) {
      snprintf(message, MESSAGE_LEN, "the image ends early");
      longjmp(door.out, 1);
    }
  }
  jpeg_destroy_decompress(&cinfo);
  return 0;
}
