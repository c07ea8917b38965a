/* loop.c - the order of a run's work: evaluate, save, stop, step. Relied on elsewhere: an
 * evaluation that is due is made before the step after it, so a run that was killed in
 * between makes it when it goes on. */
#include "train/train.h"

base_status train_loop_run(const train_loop *loop, base_error *err)
{
    void *user = loop->user;
    base_status status = BASE_OK;

    while (status == BASE_OK) {
        if (loop->evaluation_due(user) && !loop->stop(user))
            status = loop->evaluate(user, err);
        if (loop->stop(user) && (status == BASE_OK || status == BASE_INTERRUPTED) &&
            (!loop->done(user) || loop->evaluation_due(user)))
            return loop->leave(user, err);
        if (status == BASE_OK && loop->checkpoint_due(user))
            status = loop->save(user, err);
        if (status != BASE_OK || loop->done(user))
            return status;
        status = loop->step(user, err);
    }
    return status;
}
