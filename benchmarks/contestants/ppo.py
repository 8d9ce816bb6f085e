"""PPO on one game by one program, in a process of its own.

Called by ``ppo.py``. All have the same networks, sizes and numbers: ``SETTINGS`` for
MinAtar's Breakout, ``SCREENS`` for Octax's Brix, whose agents have convolutions.
Prints one JSON line: processor seconds of an update, and the mean return of the
episodes that ended in the last updates.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

UPDATES = 4  # of a call of rejax: with one of them each costs it 3 % more
OURS = "isometry, numba games"
LOOP = "PyTorch loop, gymnax games"
JAX = "JAX, compiled with its gymnax games"
REJAX = "rejax, with its gymnax games"
PRODUCTS = "the products of the hidden layers alone"
OURS_OCTAX = "isometry, numba screens"
OCTAX = "octax's agent for rejax, with its games"
SETTINGS = {
    "num_envs": 128,
    "rollout_length": 128,
    "epochs": 4,
    "minibatches": 16,
    "lr": 1e-3,
    "width": 64,
    "depth": 4,
}
SCREENS = SETTINGS | {"rollout_length": 32, "lr": 5e-4}
DISCOUNT, LAMBDA, CLIP, BOUND, EPS = 0.99, 0.95, 0.2, 0.5, 1e-5
ENTROPY, VALUE = 0.01, 0.5  # weights in the loss
ENVS, STEPS = SETTINGS["num_envs"], SETTINGS["rollout_length"]
FEATURES, ACTIONS, MAX_STEPS = 400, 3, 1000
Update = Callable[[], tuple[float, int]]  # -> sum of returns of ended episodes, number


def isometry() -> Update:
    """The book's agent on MinAtar."""
    return own_agent(
        "continual_minatar",
        **SETTINGS,
        games="breakout",
        num_actions=ACTIONS,
        max_steps=MAX_STEPS,
        pad_channels=0,
        permute_channels=False,
    )


def isometry_octax() -> Update:
    """The book's agent on Octax, clipped and with an eps as octax's own."""
    own = {"games": "brix", "num_actions": 3, "gradient_clip": "element", "eps": 1e-8}
    return own_agent("continual_octax", **SCREENS, **own)


def own_agent(benchmark: str, **given) -> Update:
    """The same functions that ``isometry run`` calls."""
    import torch

    from isometry.core.denormals import denormals_flushed
    from isometry.lab.plans import plan
    from isometry.rl.agent import network_of
    from isometry.rl.evaluation import stage_of
    from isometry.rl.ppo.fast import fastest_step
    from isometry.rl.ppo.players import reset_
    from isometry.rl.ppo.rollout import collect_, empty_rollout, gumbel_noise
    from isometry.rl.ppo.step import Learner
    from isometry.rl.ppo.update import update_
    from isometry.stream.binding import Bound
    from isometry.stream.run import Run, on_device

    torch.set_num_threads(1)
    planned = plan(benchmark, "adam", given)
    settings, parts = planned.settings, (planned.method, planned.method_settings)
    network = network_of(planned.benchmark, *parts, settings)
    run, cpu = Run(seeds=[0]), torch.device("cpu")
    run.parameters = on_device(network.stacked([0]), cpu)
    structure = network.structure()
    bound = Bound(
        method=planned.method,
        settings=planned.method_settings,
        structure=structure,
        lr=settings.lr,
    )
    optimizer = bound.optimizer(run)
    suite, envs = planned.benchmark.suite, settings.num_envs
    stage = stage_of(suite, settings, [given["games"]], [0], 0, envs, device=cpu)
    learner = Learner(
        network=network,
        parameters=run.parameters,
        optimizer=optimizer,
        settings=settings,
        seeds=[0],
        channels=stage.channels,
        hooks=bound.hooks(run, optimizer),
        layers=len(structure.layers),
    )
    rollout = empty_rollout(stage.players, settings)
    step = fastest_step(learner)
    reset_(stage.players, rollout.boards[:, 0])
    done = 0

    def update() -> tuple[float, int]:
        nonlocal done
        rollout.returned.zero_()
        rollout.episodes.zero_()
        with denormals_flushed():
            size = (settings.rollout_length, envs, settings.num_actions)
            noise = gumbel_noise([0], size, "actions", 0, done, device=cpu)
            arguments = (network, run.parameters, stage.players, rollout, noise)
            collect_(*arguments, settings)
            update_(learner, rollout, 0, done, step)
        rollout.boards[:, 0] = rollout.boards[:, -1]
        done += 1
        return float(rollout.returned), int(rollout.episodes)

    return update


def products() -> Update:
    """What bounds any such program from below: it plays nothing and learns nothing.

    Boards are mostly zeros, so the layer that reads them is left out, and so are heads,
    losses, games and the optimiser: what is left are the products between layers of
    hidden units, of actor and critic together, in torch.
    """
    import torch

    torch.set_num_threads(1)
    layers, width = SETTINGS["depth"] - 1, SETTINGS["width"]
    samples = STEPS * ENVS // SETTINGS["minibatches"]
    weight = torch.randn(2, width, width)
    played, whole, learned = (
        torch.randn(2, rows, width) for rows in (ENVS, STEPS * ENVS, samples)
    )
    gradients = SETTINGS["epochs"] * SETTINGS["minibatches"]

    def update() -> tuple[float, int]:
        with torch.no_grad():
            for _ in range(layers):
                for _ in range(STEPS):
                    torch.bmm(played[:1], weight[:1])
                torch.bmm(whole[:1], weight[:1])  # the critic's, once for all
                for _ in range(gradients):
                    torch.bmm(learned, weight)
                    torch.bmm(learned, weight.mT)
                    torch.bmm(learned.mT, learned)
        return 0.0, 1

    return update


def gymnax_made():
    """Return gymnax's game and its parameters, with this benchmark's limit of steps."""
    import gymnax

    environment, parameters = gymnax.make("Breakout-MinAtar")
    return environment, parameters.replace(max_steps_in_episode=MAX_STEPS)


def gymnax_breakout():
    """Return ``reset(key)`` and ``step(key, state, action)`` of one game, not compiled.

    A step returns board, state, reward and whether the episode ended.
    """
    environment, parameters = gymnax_made()

    def step(key, state, action):
        found = environment.step(key, state, action, parameters)
        board, state, reward, *ends, _ = found
        ended = ends[0] if len(ends) == 1 else ends[0] | ends[1]
        return board.reshape(-1), state, reward, ended

    def reset(key):
        board, state = environment.reset(key, parameters)
        return board.reshape(-1), state

    return reset, step


def returns_of(rewards: np.ndarray, ended: np.ndarray, running: np.ndarray):
    """Return the sum of the returns of episodes that ended, and their number."""
    total = 0.0
    for reward, end in zip(rewards, ended, strict=True):
        running += reward
        total += float(running[end].sum())
        running[end] = 0
    return total, int(ended.sum())


def pytorch_loop() -> Update:
    """What one writes first: modules, distributions, and a game compiled by JAX."""
    import jax
    import torch
    from torch import nn
    from torch.distributions import Categorical

    torch.set_num_threads(1)
    torch.manual_seed(0)

    def linear(fan_in: int, out: int, gain: float) -> nn.Linear:
        layer = nn.Linear(fan_in, out)
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
        return layer

    def network(outputs: int, gain: float) -> nn.Sequential:
        layers: list[nn.Module] = []
        fan_in = FEATURES
        for _ in range(SETTINGS["depth"]):
            layers += [linear(fan_in, SETTINGS["width"], 2**0.5), nn.ReLU()]
            fan_in = SETTINGS["width"]
        return nn.Sequential(*layers, linear(fan_in, outputs, gain))

    actor, critic = network(ACTIONS, 0.01), network(1, 1.0)
    both = (actor, critic)
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=SETTINGS["lr"], eps=EPS) for net in both
    ]
    reset, step = gymnax_breakout()
    reset, step = jax.jit(jax.vmap(reset)), jax.jit(jax.vmap(step))
    key = jax.random.PRNGKey(0)
    board, state = reset(jax.random.split(key, ENVS))
    running = np.zeros(ENVS)

    def as_torch(array) -> torch.Tensor:
        return torch.from_numpy(np.array(array, dtype=np.float32))

    boards = torch.zeros(STEPS, ENVS, FEATURES)
    actions = torch.zeros(STEPS, ENVS, dtype=torch.int64)
    log_probs, rewards, ends, values = (torch.zeros(STEPS, ENVS) for _ in range(4))

    def update() -> tuple[float, int]:
        nonlocal board, state, key
        with torch.no_grad():
            for t in range(STEPS):
                boards[t] = as_torch(board)
                policy = Categorical(logits=actor(boards[t]))
                actions[t] = policy.sample()
                log_probs[t] = policy.log_prob(actions[t])
                values[t] = critic(boards[t]).squeeze(-1)
                key, drawn = jax.random.split(key)
                keys = jax.random.split(drawn, ENVS)
                board, state, reward, ended = step(keys, state, actions[t].numpy())
                rewards[t], ends[t] = as_torch(reward), as_torch(ended)
            following = critic(as_torch(board)).squeeze(-1)
            advantages, last = torch.zeros(STEPS, ENVS), torch.zeros(ENVS)
            for t in reversed(range(STEPS)):
                goes_on = 1 - ends[t]
                delta = rewards[t] + DISCOUNT * following * goes_on - values[t]
                last = delta + DISCOUNT * LAMBDA * goes_on * last
                advantages[t], following = last, values[t]
        parts = (boards, actions, log_probs, advantages, values)
        flat = [part.flatten(0, 1) for part in parts]
        targets = flat[3] + flat[4]
        for _ in range(SETTINGS["epochs"]):
            order = torch.randperm(STEPS * ENVS)
            for chosen in order.chunk(SETTINGS["minibatches"]):
                x, a, old, adv, before = (part[chosen] for part in flat)
                policy = Categorical(logits=actor(x))
                ratio = (policy.log_prob(a) - old).exp()
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                held = ratio.clip(1 - CLIP, 1 + CLIP)
                surrogate = torch.min(ratio * adv, held * adv).mean()
                value, goal = critic(x).squeeze(-1), targets[chosen]
                near = before + (value - before).clip(-CLIP, CLIP)
                error = torch.max((value - goal) ** 2, (near - goal) ** 2)
                loss = -surrogate + VALUE * error.mean() / 2
                loss = loss - ENTROPY * policy.entropy().mean()
                for optimizer in optimizers:
                    optimizer.zero_grad()
                loss.backward()
                for net, optimizer in zip(both, optimizers, strict=True):
                    nn.utils.clip_grad_norm_(net.parameters(), BOUND)
                    optimizer.step()
        return returns_of(rewards.numpy(), ends.numpy() > 0, running)

    return update


def jax_program() -> Update:
    """Games, rollout and update as one compiled program, the form of PureJaxRL."""
    import jax
    import optax
    from jax import numpy as jnp
    from jax.nn.initializers import orthogonal

    reset, step = gymnax_breakout()
    reset, step = jax.vmap(reset), jax.vmap(step)
    depth, width = SETTINGS["depth"], SETTINGS["width"]

    def network(key, outputs: int, gain: float):
        sizes = [FEATURES, *[width] * depth, outputs]
        gains = [2**0.5] * depth + [gain]
        keys = jax.random.split(key, depth + 1)
        return [
            (orthogonal(g)(k, (i, o), jnp.float32), jnp.zeros(o))
            for k, g, i, o in zip(keys, gains, sizes[:-1], sizes[1:], strict=True)
        ]

    def forward(layers, x):
        for weight, bias in layers[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        weight, bias = layers[-1]
        return x @ weight + bias

    clip = optax.clip_by_global_norm(BOUND)
    adam = optax.chain(clip, optax.adam(SETTINGS["lr"], eps=EPS))

    def loss_of(networks, batch):
        x, a, old, adv, before, goal = batch
        log_policy = jax.nn.log_softmax(forward(networks["actor"], x))
        taken = jnp.take_along_axis(log_policy, a[:, None], 1)[:, 0]
        ratio = jnp.exp(taken - old)
        adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        held = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
        surrogate = jnp.minimum(ratio * adv, held * adv).mean()
        value = forward(networks["critic"], x)[:, 0]
        near = before + jnp.clip(value - before, -CLIP, CLIP)
        error = jnp.maximum((value - goal) ** 2, (near - goal) ** 2).mean()
        entropy = -(jnp.exp(log_policy) * log_policy).sum(-1).mean()
        return -surrogate + VALUE * error / 2 - ENTROPY * entropy

    def play(networks, carry, key):
        board, state = carry
        x = board.astype(jnp.float32)
        for_action, for_game = jax.random.split(key)
        logits = forward(networks["actor"], x)
        action = jax.random.categorical(for_action, logits)
        taken = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)
        value = forward(networks["critic"], x)[:, 0]
        keys = jax.random.split(for_game, ENVS)
        board, state, reward, ended = step(keys, state, action)
        return (board, state), (x, action, taken[:, 0], value, reward, ended)

    def minibatch(held, batch):
        networks, memory = held
        gradient = jax.grad(loss_of)(networks, batch)
        for part in ("actor", "critic"):
            change, own = adam.update(gradient[part], memory[part])
            networks = {**networks, part: optax.apply_updates(networks[part], change)}
            memory = {**memory, part: own}
        return (networks, memory), None

    @jax.jit
    def whole(networks, memory, carry, key):
        key, playing, learning = jax.random.split(key, 3)
        keys = jax.random.split(playing, STEPS)
        carry, seen = jax.lax.scan(lambda c, k: play(networks, c, k), carry, keys)
        x, a, old, value, reward, ended = seen
        last = forward(networks["critic"], carry[0].astype(jnp.float32))[:, 0]

        def back(held, row):
            running, following = held
            r, v, end = row
            delta = r + DISCOUNT * following * (1 - end) - v
            running = delta + DISCOUNT * LAMBDA * (1 - end) * running
            return (running, v), running

        rows = (reward, value, ended.astype(jnp.float32))
        _, adv = jax.lax.scan(back, (jnp.zeros(ENVS), last), rows, reverse=True)
        parts = (x, a, old, adv, value, adv + value)
        flat = [p.reshape(STEPS * ENVS, *p.shape[2:]) for p in parts]

        def one_pass(held, k):
            order = jax.random.permutation(k, STEPS * ENVS)
            order = order.reshape(SETTINGS["minibatches"], -1)

            def one(held, chosen):
                return minibatch(held, [p[chosen] for p in flat])

            return jax.lax.scan(one, held, order)

        passes = jax.random.split(learning, SETTINGS["epochs"])
        (networks, memory), _ = jax.lax.scan(one_pass, (networks, memory), passes)
        return networks, memory, carry, key, reward, ended

    first, second, games, key = jax.random.split(jax.random.PRNGKey(0), 4)
    actor, critic = network(first, ACTIONS, 0.01), network(second, 1, 1.0)
    networks = {"actor": actor, "critic": critic}
    memory = {part: adam.init(layers) for part, layers in networks.items()}
    held = [networks, memory, reset(jax.random.split(games, ENVS)), key]
    running = np.zeros(ENVS)

    def update() -> tuple[float, int]:
        *held[:], reward, ended = whole(*held)
        return returns_of(np.asarray(reward), np.asarray(ended) > 0, running)

    return update


def rejax_program() -> Update:
    """The published rejax, without its evaluations."""
    from ppo_rejax import counted
    from rejax import PPO

    return published(PPO, counted(*gymnax_made()), SETTINGS, UPDATES)


def octax_program() -> Update:
    """The agent that octax publishes, for its games, on rejax."""
    from octax.agents import PPOOctax
    from octax.environments import create_environment
    from ppo_rejax import screens

    class Joined(PPOOctax):
        """The same for the newer rejax, which asks for its networks by name."""

        @classmethod
        def create_agent(cls, *arguments):
            return {"agent": super().create_agent(*arguments)}

    return published(Joined, screens(create_environment("brix")[0]), SCREENS, 1)


def published(algorithm, game, sizes, updates: int) -> Update:
    """Return an algorithm on rejax that learns with the numbers of all."""
    from ppo_rejax import trained

    return trained(
        algorithm,
        game,
        sizes,
        updates,
        gamma=DISCOUNT,
        gae_lambda=LAMBDA,
        clip_eps=CLIP,
        max_grad_norm=BOUND,
        ent_coef=ENTROPY,
        vf_coef=VALUE,
    )


CONTESTANTS = {
    OURS: isometry,
    LOOP: pytorch_loop,
    JAX: jax_program,
    REJAX: rejax_program,
    PRODUCTS: products,
    OURS_OCTAX: isometry_octax,
    OCTAX: octax_program,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("packages", type=Path, help="where torch is, if not at hand")
    parser.add_argument("--updates", type=int)
    args = parser.parse_args()
    sys.path.append(str(args.packages))
    update = CONTESTANTS[args.name]()
    many = UPDATES if args.name == REJAX else 1
    update()  # compiles, and touches all memory once
    seconds, seen = [], []
    for _ in range(args.updates // many):
        start = time.process_time()
        seen.append(update())
        seconds.append((time.process_time() - start) / many)
    last = np.array(seen[-max(1, len(seen) // 4) :])
    total, episodes = last.sum(0)
    print(
        json.dumps(
            {
                "seconds": float(np.median(seconds)),
                "online_return": total / max(1, episodes),
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
