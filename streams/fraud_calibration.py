"""Which calibration a trained model of fraud scores a tenant with: one of its own, where it is active and fits."""

from models.fraud.artifact import CALIBRATION
from models.registry.activation import Post
from streams.runtime import Control
from streams.serving import Models, Serving, serving

POST = Post(CALIBRATION)


def calibrated(control: Control, models: Models, served: Serving, tenant: str, time: int) -> Serving:
    """What serves, with the calibration that is active for the tenant at a record timestamp (epoch milliseconds).

    One that was made for another version does not count: a new model begins with the calibration that it was trained
    with. Of one that is refused `refused` says why.

    Raises:
        NotLoadedError: it is not there yet.
    """
    if served.model is None or served.place is None:
        return served
    found = serving(control, models, POST, tenant, time)
    refused = "; ".join(each for each in (served.refused, found.refused) if each) or None
    if found.model is None or not found.model.fits(served.place, served.version):
        return served._replace(refused=refused)
    return served._replace(model=found.model.on(served.model), calibration=found.version, refused=refused)
