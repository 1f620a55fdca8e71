/* The way out through libjpeg-turbo: one baseline image of pixels that are our own, into memory of the caller's.
 *
 * libjpeg reports errors by a jump, which only C can do; a destination that is full is such an error. */

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#define MESSAGE_LEN 200

struct door {
  struct jpeg_error_mgr errors;
  struct jpeg_destination_mgr destination;
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

static void quiet(j_common_ptr cinfo) { (void)cinfo; }

static void nothing(j_compress_ptr cinfo) { (void)cinfo; }

static boolean full(j_compress_ptr cinfo) {
  struct door *door = (struct door *)cinfo->err;
  snprintf(door->message, MESSAGE_LEN, "the picture is larger than its room");
  longjmp(door->out, 1);
  return FALSE;
}

/* Encodes `rows` rows of `columns` pixels, of 1 or 3 bytes each, quality 1 to 100; `coarse` halves the resolution of
 * colours across (1) or both ways (2). The length written of `room` bytes, or 0 with a message. */
size_t khoanh_jpeg_write(const unsigned char *pixels, uint32_t rows, uint32_t columns, uint32_t samples,
                         int quality, int coarse, unsigned char *out, size_t room, char *message) {
  struct jpeg_compress_struct cinfo;
  struct door door;
  size_t row = (size_t)columns * samples;
  memset(&cinfo, 0, sizeof cinfo);
  memset(&door, 0, sizeof door);
  door.message = message;
  message[0] = 0;
  cinfo.err = jpeg_std_error(&door.errors);
  door.errors.error_exit = leave;
  door.errors.output_message = quiet;
  if (setjmp(door.out)) {
    jpeg_destroy_compress(&cinfo);
    return 0;
  }
  jpeg_create_compress(&cinfo);
  door.destination.init_destination = nothing;
  door.destination.empty_output_buffer = full;
  door.destination.term_destination = nothing;
  door.destination.next_output_byte = out;
  door.destination.free_in_buffer = room;
  cinfo.dest = &door.destination;
  cinfo.image_width = columns;
  cinfo.image_height = rows;
  cinfo.input_components = (int)samples;
  cinfo.in_color_space = samples == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&cinfo);
  jpeg_set_quality(&cinfo, quality, TRUE);
  cinfo.dct_method = JDCT_ISLOW;
  if (samples == 3) {
    cinfo.comp_info[0].h_samp_factor = coarse > 0 ? 2 : 1;
    cinfo.comp_info[0].v_samp_factor = coarse > 1 ? 2 : 1;
  }
  jpeg_start_compress(&cinfo, TRUE);
  while (cinfo.next_scanline < cinfo.image_height) {
    JSAMPROW line = (JSAMPROW)(pixels + row * cinfo.next_scanline);
    jpeg_write_scanlines(&cinfo, &line, 1);
  }
  jpeg_finish_compress(&cinfo);
  jpeg_destroy_compress(&cinfo);
  return (size_t)(door.destination.next_output_byte - out);
}
