/* A strict stand-in of CUDA 10.2's runtime.

Addresses on the device and streams are numbers above 32 bits that mean nothing to the CPU: one that is cut, or read as
ordinary memory, is noticed. Work waits in its stream until that is synchronised. Fresh memory holds no numbers. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, INVALID = 1, NO_MEMORY = 2, BAD_HANDLE = 400, ILLEGAL = 700 };

struct block { uint64_t address; size_t size; char *memory; };
struct work { uint64_t stream, to, from; size_t size; int kind, rows, inputs, values, seed; };

static struct block blocks[MOST];
static uint64_t streams[MOST], next = 0x500000000000;
static struct work queue[MOST];
static int queued, faults, major = 6, minor = 2, failing_code;
static char failing[64];

void standin_reset(void) {
    for (int i = 0; i < MOST; i++) free(blocks[i].memory), blocks[i] = (struct block){0}, streams[i] = 0;
    queued = faults = failing_code = 0, major = 6, minor = 2;
}
int standin_faults(void) { return faults; }
int standin_live(void) {
    int live = 0;
    for (int i = 0; i < MOST; i++) live += (blocks[i].size != 0) + (streams[i] != 0);
    return live;
}
void standin_capability(int a, int b) { major = a, minor = b; }
void standin_fail(const char *name, int code) { snprintf(failing, sizeof failing, "%s", name), failing_code = code; }

static int fails(const char *name) {
    if (!failing_code || strcmp(name, failing)) return 0;
    int code = failing_code;
    failing_code = 0;
    return code;
}
static int fault(int code) { return faults++, code; }
static int inside(uint64_t address) { return address >= 0x500000000000 && address < next; }
static char *memory(uint64_t address, size_t size) {
    for (int i = 0; i < MOST; i++) {
        struct block *b = &blocks[i];
        if (b->size && address >= b->address && address + size <= b->address + b->size)
            return b->memory + (address - b->address);
    }
    return NULL;
}
static int known(uint64_t stream) {
    for (int i = 0; i < MOST; i++) if (stream && streams[i] == stream) return 1;
    return 0;
}
static uint64_t fresh(size_t size) { uint64_t given = next; next += (size | 0xfffffff) + 1; return given; }

int cudaMalloc(void **address, size_t size) {
    int code = fails("cudaMalloc");
    if (code) return code;
    if (!size) return fault(INVALID);
    for (int i = 0; i < MOST; i++) if (!blocks[i].size) {
        blocks[i] = (struct block){fresh(size), size, malloc(size)};
        memset(blocks[i].memory, 0xff, size); /* NaN */
        *address = (void *)blocks[i].address;
        return 0;
    }
    return NO_MEMORY;
}
int cudaFree(void *address) {
    if (!address) return 0;
    for (int i = 0; i < MOST; i++) if (blocks[i].size && blocks[i].address == (uint64_t)address) {
        free(blocks[i].memory);
        blocks[i] = (struct block){0};
        return 0;
    }
    return fault(INVALID);
}
int cudaStreamCreate(void **stream) {
    int code = fails("cudaStreamCreate");
    if (code) return code;
    for (int i = 0; i < MOST; i++) if (!streams[i]) return *stream = (void *)(streams[i] = fresh(1)), 0;
    return NO_MEMORY;
}
int cudaStreamDestroy(void *stream) {
    for (int i = 0; i < MOST; i++) if (stream && streams[i] == (uint64_t)stream) return streams[i] = 0;
    return fault(BAD_HANDLE);
}
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
    int code = fails("cudaMemcpyAsync");
    if (code) return code;
    if (!known((uint64_t)stream)) return fault(BAD_HANDLE);
    uint64_t device = (uint64_t)(kind == 1 ? to : from), host = (uint64_t)(kind == 1 ? from : to);
    if ((kind != 1 && kind != 2) || !memory(device, size) || inside(host) || queued == MOST) return fault(INVALID);
    queue[queued++] = (struct work){.stream = (uint64_t)stream, .to = (uint64_t)to, .from = (uint64_t)from, .size = size, .kind = kind};
    return 0;
}
int standin_linear(void *stream, void *from, void *to, int rows, int inputs, int values, int seed) {
    if (!known((uint64_t)stream) || !memory((uint64_t)from, 4UL * rows * inputs) ||
        !memory((uint64_t)to, 4UL * rows * values)) return fault(ILLEGAL);
    queue[queued++] = (struct work){(uint64_t)stream, (uint64_t)to, (uint64_t)from, 0, 0, rows, inputs, values, seed};
    return 0;
}
static void linear(const struct work *w) {
    const float *from = (float *)memory(w->from, 4), *row;
    float *to = (float *)memory(w->to, 4);
    for (int r = 0; r < w->rows; r++) for (int v = 0; v < w->values; v++) {
        double sum = 0;
        row = from + (size_t)r * w->inputs;
        for (int i = 0; i < w->inputs; i++) sum += row[i] * ((v * 31 + i * 7 + w->seed) % 13 - 6);
        to[r * w->values + v] = sum;
    }
}
int cudaStreamSynchronize(void *stream) {
    int code = fails("cudaStreamSynchronize"), left = 0;
    if (code) return code;
    if (!known((uint64_t)stream)) return fault(BAD_HANDLE);
    for (int i = 0; i < queued; i++) {
        struct work w = queue[i];
        if (w.stream != (uint64_t)stream) queue[left++] = w;
        else if (!memory(w.kind == 2 ? w.from : w.to, 1)) return queued = 0, fault(ILLEGAL); /* freed meanwhile */
        else if (w.kind == 1) memcpy(memory(w.to, w.size), (void *)w.from, w.size);
        else if (w.kind == 2) memcpy((void *)w.to, memory(w.from, w.size), w.size);
        else linear(&w);
    }
    queued = left;
    return 0;
}
int cudaGetDevice(int *index) { int code = fails("cudaGetDevice"); return code ? code : (*index = 0); }
int cudaGetDeviceProperties(void *properties, int index) {
    if (index) return fault(INVALID);
    memset(properties, 0xa5, 712); /* cudaDeviceProp of CUDA 10.2 */
    return snprintf(properties, 256, "NVIDIA Tegra X2") < 0;
}
int cudaDeviceGetAttribute(int *value, int attribute, int index) {
    if (index || (attribute != 75 && attribute != 76)) return fault(INVALID);
    return *value = attribute == 75 ? major : minor, 0;
}
const char *cudaGetErrorString(int code) {
    switch (code) {
    case NO_MEMORY: return "out of memory";
    case 100: return "no CUDA-capable device is detected";
    case ILLEGAL: return "an illegal memory access was encountered";
    default: return "invalid argument";
    }
}
