/* The emulated USB bus: one file, mapped by the test and by every program that "sees" the dongles.
 *
 *     test (usb_dongles.py) ──writes──▶ ┌ slot 0 ┬ slot 1 ┬ … ┐ ◀──reads, and reports── programs
 *                                       └────────┴────────┴───┘
 *
 * A slot is a dongle, not a port: it keeps its serial when it is plugged in elsewhere. The layout
 * is that of `_Slot` in usb_dongles.py: change both together, and BUS_MAGIC with them.
 */
#ifndef BUS_H
#define BUS_H

#include <stdint.h>

#define BUS_MAGIC 0x68454432 /* "hED2" */
#define BUS_SLOTS 8
#define BUS_TONES 16

struct bus_tone {
    double rf_hz;         /* absolute */
    double amplitude_lsb; /* of 8-bit samples: 127 is full scale */
};

struct bus_slot {
    /* Written by the test. */
    int32_t present;          /* 1: plugged in */
    int32_t port;             /* programs list dongles in the order of their ports */
    int32_t generation;       /* rises with each replug: a handle of an earlier one stays dead */
    int32_t open_error;       /* libusb error that opening gives, such as -3, no permission */
    int32_t kernel_driver;    /* 1: a kernel driver holds it, until a program detaches that */
    int32_t held_elsewhere;   /* 1: claiming fails with -6, as if another host program had it */
    int32_t stalled;          /* 1: transfers never complete */
    int32_t crash;            /* 1: the program takes a SIGSEGV at the next transfer's end */
    int32_t vanish_after;     /* >0: unplugged after so many more control transfers */
    int32_t hang;             /* 1: control transfers never return */
    int32_t tuner;            /* 0: R820T, 1: R828D, 2: none answers */
    int32_t n_tones;
    int32_t follows_gain;     /* 1: tones and noise are as given at 28.0 dB, and follow the gain */
    int32_t unused;
    int64_t lose_samples;     /* taken away once, as if the host had been late */
    double ppm;               /* by how much its crystal is fast */
    double noise_lsb;         /* standard deviation of each of I and Q */
    double dc_lsb;
    struct bus_tone tones[BUS_TONES];
    char serial[64];
    char manufacturer[64];
    char product[64];
    char iq_path[256];        /* raw cu8, repeated, instead of tones and noise */

    /* Written by the programs. */
    int32_t opens;            /* how often its interface was claimed */
    int32_t bias_tee;         /* GPIO 0 */
    int32_t lna_index;        /* R820T gain registers, 0…15 each */
    int32_t mixer_index;
    int32_t gain_is_manual;
    int32_t direct_sampling;
    int64_t samples_given;
    int64_t samples_lost;     /* no transfer was waiting for them, or lose_samples asked for it */
    double center_hz;         /* as the registers have it: without the crystal's error */
    double rate_hz;
};

struct bus {
    uint32_t magic;
    uint32_t slot_bytes;
    struct bus_slot slots[BUS_SLOTS];
};

/* The bus that FAKEUSB_BUS names; an empty one where nothing is named. Ends the program, with a
 * message, when that file is not of this layout. */
struct bus *bus_get(void);

/* Take a slot's interface for this program; 0, or -1 when another one has it. The lock goes with
 * the descriptor, and so with the program, however that ends. */
int bus_claim(int slot, int *lock_fd);

#endif
