/* The little of FMI 3.0 that a co-simulation unit with scalar variables needs; the standard itself
 * has the rest. */
#ifndef FMI3_H
#define FMI3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define FMI3_EXPORT __declspec(dllexport)
#else
#define FMI3_EXPORT __attribute__((visibility("default")))
#endif

typedef enum { fmi3OK, fmi3Warning, fmi3Discard, fmi3Error, fmi3Fatal } fmi3Status;
typedef void *fmi3Instance;
typedef uint32_t fmi3ValueReference;
typedef void (*fmi3LogMessage)(void *environment, fmi3Status status, const char *category,
                               const char *message);

/* fmi3OK without a complaint; with one, it is told to the importer. */
fmi3Status fmi3_told(fmi3Instance instance, const char *complaint);

#endif
