"""transformers' Trainer with AdamO: a small GPT-2 learns to count.

python examples/hf_trainer.py   # needs transformers and accelerate
"""

import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from isometry import AdamO
from isometry.adamo import describe

WORDS, LENGTH = 16, 12


def network() -> GPT2LMHeadModel:
    """Return a model with random weights."""
    torch.manual_seed(0)
    size = {"vocab_size": WORDS, "n_positions": LENGTH, "n_embd": 32}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**size, **ends, n_layer=2, n_head=2))


def sequences() -> list[dict[str, torch.Tensor]]:
    """Return sequences that count from any word, in steps of any length."""
    start, step = torch.meshgrid(torch.arange(WORDS), torch.arange(1, 5), indexing="ij")
    place = torch.arange(LENGTH)
    words = (start.reshape(-1, 1) + step.reshape(-1, 1) * place) % WORDS
    return [{"input_ids": row, "labels": row} for row in words]


def train(folder: str, steps: int = 200, resume: bool = False) -> Trainer:
    """Train, or go on from the last checkpoint in a folder, and return the trainer."""
    model = network()
    # Embeddings, the head that is tied to them, and norms are spared, by what they are;
    # each c_attn is pulled as its three matrices.
    optimizer = AdamO(model, lr=3e-3, relaxation_steps=steps / 16)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        save_steps=steps // 2,
        per_device_train_batch_size=16,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    both = (optimizer, schedule)
    trainer = Trainer(model, arguments, train_dataset=sequences(), optimizers=both)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        trained = train(made)
        print(describe(trained.optimizer), trained.evaluate(sequences()), sep="\n")
