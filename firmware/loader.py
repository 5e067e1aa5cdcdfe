# The board's /main.py: picks the slot that the firmware runs from, and goes back when a new one does not prove itself.
#
# An update never touches this file, so it stays small, imports nothing of the firmware, and believes nothing that it
# reads. A slot is a folder, `a` or `b`, with a `slot.json` that was written last: without that it is not whole. Where
# there is neither, what the image brings is run ("factory"). slots.json says which slot is meant:
#
#   active   the slot that is known to work, or null for the factory
#   trial    the slot that has to prove itself, or null
#   tries    how often that one was started
#   cuts     how many of these tries ended with the power, which says nothing of the firmware
#   sha      which update it is; when it failed it becomes `bad`, and `why` says what happened
#
# Firmware of the future must keep to this, because this loader will still be there.

import json
import os
import sys
import time

import machine

SLOTS = ("a", "b")
STATE = "slots.json"
TRIES = 2
MOST_TRIES = 10  # cuts and all: a firmware that draws too much may be what takes the power away
_PAUSE_MS = 5_000  # between crashes: time for a person to interrupt, and no storm of resets
_HANG_MS = 300_000  # a trial that hangs before the node has a watchdog of its own


def choose():
    """(slots to start from in order, is the first on trial). A try is on flash before it begins. None: the factory."""
    state = _load()
    trial = state.get("trial")
    if trial in SLOTS:
        whole = _whole(trial)
        if whole and _count(state):
            if _save(state):
                return [trial], True
            # What cannot be counted must not be tried: it might fail for ever.
        else:
            state["bad"] = state.get("sha")
            unconfirmed = "not confirmed in %s starts" % state.get("tries")
            state["why"] = state.get("why") or (unconfirmed if whole else "slot is not whole")
            state["trial"] = None
            _save(state)
    first = state.get("active")
    slots = [first] if first in SLOTS else []
    slots += [slot for slot in SLOTS if slot != first and slot != trial]
    return [slot for slot in slots if _whole(slot)] + [None], False


def _count(state):
    """Count one more try of a trial in its state; False when it has had enough, or says nothing of it."""
    tries, cuts = state.get("tries"), state.get("cuts", 0)
    if not isinstance(tries, int) or not isinstance(cuts, int) or cuts < 0:
        return False
    if tries and machine.reset_cause() == machine.PWRON_RESET:
        cuts += 1
    if not 0 <= tries - cuts < TRIES or tries >= MOST_TRIES:
        return False
    state["tries"], state["cuts"] = tries + 1, cuts
    return True


def enter(slot):
    """Let imports find the firmware of this slot first, and never this file."""
    root = _root()
    here = ("", ".", root, root + "/") + tuple(root + "/" + each for each in SLOTS)
    sys.path[:] = [path for path in sys.path if path not in here]
    if slot:
        sys.path.insert(0, root + "/" + slot)


def failed(error):
    """Keep what a trial died of, for the report after it was rolled back."""
    state = _load()
    state["why"] = repr(error)[:120]
    _save(state)


def run():
    try:
        _run()
    except Exception as error:  # noqa: BLE001 - of a heap so full that not even a failure can be kept, for one
        sys.print_exception(error)
    machine.reset()


def _run():
    slots, trial = choose()
    if trial:
        machine.WDT(timeout=_HANG_MS)
    for slot in slots:
        before = list(sys.modules)
        enter(slot)
        error, began = _start()
        sys.print_exception(error)
        if began:
            break
        # Its files are damaged. Another slot may be whole; what was imported from this one must not get in its way.
        for name in list(sys.modules):
            if name not in before:
                del sys.modules[name]
    if trial:
        failed(error)
    else:
        time.sleep_ms(_PAUSE_MS)


def _start():
    """Run the firmware: (what ended it, whether it had begun)."""
    try:
        import main
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not leave a board without firmware
        return error, False
    try:
        main.main()
    except ImportError as error:
        return error, False
    except Exception as error:  # noqa: BLE001 - likewise
        return error, True
    return RuntimeError("the firmware has ended"), True


def _load():
    try:
        with open(STATE) as f:
            state = json.load(f)
        if state["active"] in (None,) + SLOTS:
            return state
    except Exception:  # noqa: BLE001, S110 - a state that cannot be read is no reason not to start
        pass
    whole = [slot for slot in SLOTS if _whole(slot)]
    if len(whole) == 2:
        # Nobody knows which of them works: one is tried, and the other is there if it does not.
        return {"active": whole[1], "trial": whole[0], "tries": 0}
    return {"active": whole[0] if whole else None, "trial": None, "tries": 0}


def _save(state):
    """Whether the state is on flash: whole, or as it was before."""
    try:
        with open(STATE + ".new", "w") as f:
            json.dump(state, f)
        os.rename(STATE + ".new", STATE)
    except Exception:  # noqa: BLE001 - a full or broken flash is no reason not to start
        return False
    return True


def _whole(slot):
    try:
        return bool(os.stat(slot + "/slot.json"))
    except OSError:
        return False


def _root():
    return os.getcwd().rstrip("/")


if __name__ == "__main__":
    run()
