#define _GNU_SOURCE
#include "bus.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct bus *the_bus;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static void open_bus(void)
{
    static struct bus empty = {.magic = BUS_MAGIC, .slot_bytes = sizeof(struct bus_slot)};
    const char *path = getenv("FAKEUSB_BUS");
    the_bus = &empty;
    if (!path)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "fakeusb: cannot open FAKEUSB_BUS=%s\n", path);
        abort();
    }
    void *mapped = mmap(NULL, sizeof(struct bus), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    the_bus = mapped;
    if (mapped == MAP_FAILED || the_bus->magic != BUS_MAGIC ||
        the_bus->slot_bytes != sizeof(struct bus_slot)) {
        fprintf(stderr, "fakeusb: %s is not of this emulator's layout\n", path);
        abort();
    }
}

struct bus *bus_get(void)
{
    pthread_once(&opened, open_bus);
    return the_bus;
}

int bus_claim(int slot, int *lock_fd)
{
    /* Locks of an open file description: two handles in one program exclude each other, too. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = slot, .l_len = 1};
    int fd = open(getenv("FAKEUSB_BUS"), O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        close(fd);
        return -1;
    }
    *lock_fd = fd;
    return 0;
}
