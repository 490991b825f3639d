/* ledger_v3.h - ledgers as the version before had them: of processes that were started before an upgrade, and of dead
 * ones. Nothing but the wanted interval is ever written to them.
 *
 * They are translated into a ledger of today in private memory, which all that reads ledgers can read. That takes
 * memory and time each time that one is looked at, and no second way through views, sums and texts; there are few such
 * ledgers, and soon none.
 *
 * As with views (ledger_view.h), nothing that is found is trusted. For the command alone: the target has its own
 * ledger.
 */
#ifndef HP_READER_LEDGER_V3_H
#define HP_READER_LEDGER_V3_H

#include "ledger/ledger.h"
#include "ledger/ledger_view.h"

/* Of those below: 0; -EINVAL: no ledger; -EPROTONOSUPPORT: neither of this version nor of the one before; -EBADMSG:
 * damaged; -ENOMEM. */

/* As hp_ledger_view_open, of a ledger of the version before, too: of that, the view is one of *translated, to be given
 * to hp_v3_free whatever the result is. A jump out (SIGBUS) leaves *translated as it must be for that. */
int hp_v3_view_open(struct hp_ledger_view *view, const void *memory, uint64_t size, struct hp_store *translated);
void hp_v3_free(struct hp_store *translated);

/* What stands in the header, and what a header has that needs no more than that; without rows, modules and threads. */
int hp_v3_read_header(const void *memory, uint64_t size, struct hp_ledger *header);
/* Where the interval is asked for from outside. */
int hp_v3_wanted_interval(void *memory, uint64_t size, uint64_t **wanted);

#endif
