#!/usr/bin/env bash
# CosyVoice on LibriTTS, with the published stages.
#
#     stage=-1 stop_stage=3 bash runs/cosyvoice/run.sh     # download, and prepare the corpus
#     stage=5 stop_stage=6 bash runs/cosyvoice/run.sh      # train, and average
#
# Data and results are written to the working directory. README.md has all settings.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)

source "$here/../cosyvoice_stages.sh"
pretrained_model_dir=${pretrained_model_dir:-pretrained/CosyVoice-300M}
config=${config:-$here/conf/cosyvoice.yaml}
# A folder with Whisper's multilingual tokenizer, as transformers reads it.
text_tokenizer=${text_tokenizer:-pretrained/whisper-large-v3}
# New weights if there is no such file and it is set to nothing.
checkpoint=${checkpoint-$pretrained_model_dir/llm.pt}

prepare_stages "$pretrained_model_dir/speech_tokenizer_v1.onnx"
training_stages cosyvoice --tokenizer "$text_tokenizer"
